// SPDX-License-Identifier: MIT
#pragma once

/// Reading what children write, while waiting for them: the loop below run, capture, each_line,
/// Pipeline and Conversation.
///
/// Streams are drained together from the start, so no child waits for a full pipe. When the last
/// child has ended, what its pipes hold is read and they are closed: nobody waits for an end of
/// file that a surviving grandchild withholds.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "os/pidfd.h"
#include "tine/cancel.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::command {

/// Takes what has arrived; false: no more is wanted, close the stream.
using Taker = std::function<bool(std::string_view)>;

enum class Drained : unsigned char { ended, timed_out, cancelled, stopped };

class StreamLoop {
 public:
  StreamLoop();
  ~StreamLoop();

  /// Owns `fd` from here on; it becomes non-blocking. `taker` also gets an empty piece at the end.
  std::expected<void, Error> add(Fd fd, Taker taker);
  /// Until all of `pidfds` have ended, the deadline has passed, the token fired or stop() was said.
  /// The processes are not reaped.
  std::expected<Drained, Error> run_until_ended(std::vector<int> pidfds, os::Deadline deadline,
                                                const CancelToken& token);
  /// Reads on while what has been told to end does so: its last words must not wait for a reader.
  /// Nothing stops this but `deadline`. False: something still runs.
  bool drain_until_ended(std::vector<int> pidfds, os::Deadline deadline);
  /// Reads what is there now and closes all streams.
  void finish();
  /// Ends run_until_ended: for a taker that has had too much.
  void stop() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Collects up to a limit.
class Collector {
 public:
  Collector(std::string& into, std::size_t limit) : into_(into), limit_(limit) {}
  /// False: the limit is passed.
  bool take(std::string_view piece);
  [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }

 private:
  std::string& into_;
  std::size_t limit_;
  bool overflowed_ = false;
};

/// Cuts a stream into lines; those above the limit come in pieces.
class LineCutter {
 public:
  explicit LineCutter(std::function<bool(std::string_view)> on_line)
      : on_line_(std::move(on_line)) {}
  /// An empty piece is the end of the stream: a last line without newline is given then.
  bool take(std::string_view piece);

 private:
  static constexpr std::size_t kLongest = 1 << 20;
  bool give(std::string_view line);

  std::function<bool(std::string_view)> on_line_;
  std::string partial_;
};

}  // namespace tine::command
