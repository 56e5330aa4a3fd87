// SPDX-License-Identifier: MIT
#pragma once

/// Where the output of jobs goes: our stdout and stderr, whole jobs at a time or line by line, with
/// tags, and in order when that is asked for.
///
/// A reader that pauses (`| less`) must not make us deaf: pipes and terminals are written to
/// without blocking, and while one is full `wait` is called, which hears signals. Errors: the first
/// refused write is kept; nothing is written after it. See failed().

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tine/batch.h"
#include "tine/error.h"

namespace tine::cli {

class OutputWriter {
 public:
  /// Waits until `fd` takes more; false: what is still to be written may be dropped.
  using Wait = std::function<bool(int fd)>;

  /// `stdout_closed`: when we were started; every write to it is refused then. `make_way` is called
  /// before anything is written to either stream.
  OutputWriter(bool stdout_closed, std::string tmpdir, Wait wait, std::function<void()> make_way);

  /// Text of our own: a command line of -v, a line of --dry-run.
  void write(int fd, std::string_view text);
  /// A message of our own on stderr: news, not data, so it does not matter if it is refused.
  void say(std::string_view text);
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
  /// How one of our two streams is written to.
  struct Sink {
    Fd own{};             ///< the same pipe or terminal, opened again for us alone, non-blocking
    int fd = -1;          ///< that, or else the stream itself
    bool blocks = false;  ///< it may not be opened again: asked before every small write
  };

  static Sink sink_for(int fd);
  void note(int fd, Error error);
  [[nodiscard]] bool refused(int fd);
  int write_all(const Sink& sink, std::string_view text);
  void copy(int fd, const OutputFile& file);
  void copy_tagged(int fd, const OutputFile& file, const std::string& tag);
  bool wait_for(int fd);

  struct Held {
    OutputFile out;
    OutputFile err;
  };

  bool stdout_closed_;
  bool dropping_ = false;
  std::string tmpdir_;
  Wait wait_;
  std::function<void()> make_way_;
  Sink sinks_[2];  ///< stdout, stderr
  std::string tagged_;
  std::map<std::uint64_t, Held> held_;
  std::optional<Error> failed_;
};

}  // namespace tine::cli
