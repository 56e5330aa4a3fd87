// SPDX-License-Identifier: MIT
#pragma once

#include <expected>
#include <filesystem>
#include <vector>

#include "tine/batch.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::command {

/// The files that jobs write to: made when there is no spare one, taken back when they have been
/// read, so that a long batch needs no new ones.
class OutputPool {
 public:
  /// Empty: $TMPDIR, else /tmp.
  explicit OutputPool(const std::filesystem::path& directory);

  struct ForJob {
    OutputFile file;
    Fd writer;  ///< the job's own; empty without /proc: then it shares the open file with us
  };
  /// Errors: those of OutputFile::create.
  std::expected<ForJob, Error> lend();

  /// Its job has ended: unless a survivor may go on writing, the size is final.
  static void seal(OutputFile& file);

  /// Kept, empty, for another job, unless a survivor of the last one may still write to it.
  void take_back(OutputFile file);

 private:
  std::filesystem::path directory_;
  std::vector<OutputFile> spare_;
};

}  // namespace tine::command
