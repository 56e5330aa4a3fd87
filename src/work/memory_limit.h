// SPDX-License-Identifier: MIT
#pragma once

/// How much memory a function child may add to what it has inherited.
///
/// Two walls: the child is refused allocations beyond the limit, and its parent ends it when pages
/// that it has inherited and written since, which are no allocations, make it that large.

#include <sys/types.h>

#include <chrono>
#include <cstdint>

namespace tine::work {

/// In a child: from here on an allocation that goes `bytes` beyond what there is now is refused.
/// Not RLIMIT_AS: what the parent has reserved would count. Source: getrlimit(2), RLIMIT_DATA
void limit_memory(std::uint64_t bytes) noexcept;

/// The parent's look at a child that has a limit.
class MemoryWatch {
 public:
  /// `limit` 0: nothing is ever too much.
  void begin(pid_t pid, std::uint64_t limit) noexcept;
  /// Whether it is above the limit. Looks no more than every 50 ms, and seldom at a child that is
  /// so large that a look takes long.
  [[nodiscard]] bool exceeded();
  [[nodiscard]] std::chrono::steady_clock::time_point last_look() const noexcept {
    return last_look_;
  }
  /// Before then exceeded() looks at nothing.
  [[nodiscard]] std::chrono::steady_clock::time_point next_look() const noexcept {
    return next_look_;
  }

 private:
  pid_t pid_ = 0;
  std::uint64_t limit_ = 0;
  std::chrono::steady_clock::time_point last_look_{};
  std::chrono::steady_clock::time_point next_look_{};
};

/// What a Failure says of a child that its parent has ended for that.
inline constexpr const char* kMemoryExceeded =
    "it has written more memory than its limit allows (inherited memory counts once it is written)";

/// The bytes of memory that only process `pid` has, as near as can be told: pages of which another
/// process has given up its copy count, too. 0: it cannot be seen.
/// Source: proc(5), /proc/PID/smaps_rollup, /proc/PID/status
[[nodiscard]] std::uint64_t private_memory(pid_t pid);

/// The bytes of this process that no file and no other process shares, or did at the fork.
/// Source: proc(5), /proc/PID/statm
[[nodiscard]] std::uint64_t own_memory() noexcept;

}  // namespace tine::work
