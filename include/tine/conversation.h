// SPDX-License-Identifier: MIT
#pragma once

/// A dialogue with a child over its stdin and stdout that cannot deadlock: while it writes, it
/// collects what the child says, so neither side waits for the other's full pipe.
///
///     auto bc = tine::Command{"bc"}.converse().value();
///     bc.send("2^100\n");
///     std::string answer = bc.read_line(1s).value().value();
///
/// Owner: it owns the child and both pipes. Threads: one at a time.

#include <chrono>
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "tine/cancel.h"
#include "tine/child.h"
#include "tine/command.h"
#include "tine/error.h"

namespace tine {

class Conversation {
 public:
  /// Writes all of `text`. What the child says meanwhile is kept for read_line, up to the
  /// command's capture limit.
  ///
  /// Errors: broken_pipe: the child no longer reads; output_limit; timed_out after `limit`;
  /// cancelled: the command's token fired.
  std::expected<void, Error> send(std::string_view text,
                                  std::chrono::nanoseconds limit = std::chrono::hours(24 * 365));

  /// The next line without its newline; nothing at the end of the output.
  /// Errors: timed_out after `limit`; output_limit: the line is longer than the capture limit;
  /// cancelled.
  std::expected<std::optional<std::string>, Error> read_line(
      std::chrono::nanoseconds limit = std::chrono::hours(24 * 365));

  /// Tells the child that nothing more comes.
  void close_input() noexcept;

  /// close_input(), reads what is still said, waits for the end.
  [[nodiscard]] Result<Output> finish();

  [[nodiscard]] Child& child() noexcept { return child_; }

 private:
  friend class Command;
  Conversation(Child child, const Command& command);

  std::expected<void, Error> exchange(std::string_view& unsent, std::chrono::nanoseconds limit);
  std::expected<void, Error> receive();

  Child child_;
  Fd in_;
  Fd out_;
  std::string heard_;
  std::string name_;
  std::size_t limit_;
  bool unchecked_;
  CancelToken cancel_;
};

}  // namespace tine
