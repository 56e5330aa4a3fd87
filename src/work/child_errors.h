// SPDX-License-Identifier: MIT
#pragma once

/// What a function child writes to stderr: kept, passed on, and its end shown in a Failure.
///
/// A memory file and not a pipe: the child is never held up because nobody reads. Writing ends at
/// 16 MiB (EPERM). Its offset, which child and parent share, tells how much there is.
/// Source: memfd_create(2); fcntl(2), F_SEAL_GROW

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>

#include "tine/error.h"
#include "tine/fd.h"

namespace tine::work {

/// A worker that has written so much to stderr is replaced: writing ends at twice that.
inline constexpr std::uint64_t kMostErrors = std::uint64_t{8} << 20;

class ChildErrors {
 public:
  /// Errors: too_many_files, out_of_memory.
  static std::expected<ChildErrors, Error> create();

  /// In the child: becomes stderr, and nothing else. That this has no descriptor of its own any
  /// more is not noted, for the page with it would be copied: it is not to be used or destroyed
  /// there.
  void become_stderr() const noexcept;
  /// What a child that is no copy of this process gets as its stderr.
  [[nodiscard]] int file() const noexcept { return file_.get(); }
  /// In the parent, once the child has it: children forked from now on don't.
  void keep_from_later_children() const noexcept;
  /// In the parent: writes what is new to our own stderr, without ever waiting for whoever reads
  /// that. What it refuses is dropped. False: it takes nothing more now, and there is more.
  bool pass_on() noexcept { return pass_on(std::chrono::steady_clock::now()); }
  /// All of it, for at most five seconds, as long as one does not pass without any being taken; for
  /// one that is known to be stuck, what it takes at once. False: the rest is dropped.
  bool pass_on_rest(bool is_stuck = false) noexcept;
  /// How many bytes have been written there, or dropped.
  [[nodiscard]] off_t passed_on() const noexcept { return passed_on_; }
  /// The last of it.
  [[nodiscard]] std::string tail() const { return tail(0, written()); }
  /// The last of the bytes [from, until), which are not trusted to be there.
  [[nodiscard]] std::string tail(off_t from, off_t until) const;
  /// How many bytes there are.
  [[nodiscard]] off_t written() const noexcept;

 private:
  bool pass_on(std::chrono::steady_clock::time_point limit) noexcept;
  bool pass_on_until(off_t until, std::chrono::steady_clock::time_point limit) noexcept;

  Fd file_;
  off_t passed_on_ = 0;
};

}  // namespace tine::work
