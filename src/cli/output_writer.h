// SPDX-License-Identifier: MIT
#pragma once

/// Where the output of jobs goes: our stdout and stderr, whole jobs at a time or line by line, with
/// tags, and in order when that is asked for.
///
/// Errors: the first refused write is kept; nothing is written after it. See failed().

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tine/batch.h"
#include "tine/error.h"

namespace tine::cli {

class OutputWriter {
 public:
  /// `closed`: stdout was closed when we were started; every write to it is refused then.
  explicit OutputWriter(bool stdout_closed, std::string tmpdir)
      : stdout_closed_(stdout_closed), tmpdir_(std::move(tmpdir)) {}

  /// Text of our own: a command line of -v, a line of --dry-run.
  void write(int fd, std::string_view text);
  /// All that a job wrote; every line behind `tag` and a tab when there is one.
  void write_file(int fd, const OutputFile& file, const std::optional<std::string>& tag);
  /// Whole lines of a running job.
  void write_lines(int fd, std::string_view lines, const std::optional<std::string>& tag);

  /// Lines of a job whose turn has not come; kept in files, as they may be many.
  void hold(std::uint64_t index, int fd, std::string_view lines,
            const std::optional<std::string>& tag);
  /// Its turn has come.
  void release(std::uint64_t index);

  [[nodiscard]] const std::optional<Error>& failed() const { return failed_; }

 private:
  void note(int fd, Error error);
  [[nodiscard]] bool refused(int fd);

  struct Held {
    OutputFile out;
    OutputFile err;
  };

  bool stdout_closed_;
  std::string tmpdir_;
  std::string tagged_;
  std::map<std::uint64_t, Held> held_;
  std::optional<Error> failed_;
};

}  // namespace tine::cli
