// SPDX-License-Identifier: MIT
#pragma once

/// The job log: GNU parallel's columns, one line per job in the order of the ends, written at once,
/// so that a run that is killed leaves a log of what it had done.

#include <expected>
#include <string>

#include "cli/job_notes.h"
#include "tine/batch.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::cli {

class JobLog {
 public:
  /// Errors: the file cannot be opened or the header not written.
  static std::expected<JobLog, Error> open(const std::string& path, bool append);

  std::expected<void, Error> write(const Outcome& outcome, const JobNotes& job);

 private:
  std::string path_;
  Fd file_;
  std::string line_;
};

}  // namespace tine::cli
