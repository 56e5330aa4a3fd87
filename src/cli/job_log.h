// SPDX-License-Identifier: MIT
#pragma once

/// The job log: GNU parallel's columns, one line per job in the order of the ends, written at once,
/// so that a run that is killed leaves a log of what it had done.

#include <cstdint>
#include <expected>
#include <string>

#include "tine/batch.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::cli {

/// How a job ended, in the numbers that logs, halt rules and exit codes use.
struct JobExit {
  int code = 0;    ///< -1: it was killed for its timeout
  int signal = 0;  ///< 0: none
  [[nodiscard]] bool failed() const { return code != 0 || signal != 0; }
  /// As a shell would say it: 128 + the signal; 255 when it was ended for its timeout.
  [[nodiscard]] int shell_code() const {
    return signal != 0 && code == 0 ? 128 + signal : code & 0xff;
  }
};

JobExit job_exit(const tine::Result<Finished>& result);

class JobLog {
 public:
  /// Errors: the file cannot be opened or the header not written.
  static std::expected<JobLog, Error> open(const std::string& path, bool append);

  /// `received`: bytes of stdout.
  std::expected<void, Error> write(std::uint64_t seq, const Outcome& outcome,
                                   std::uint64_t received, const std::string& command);

 private:
  std::string path_;
  Fd file_;
  std::string line_;
};

}  // namespace tine::cli
