// SPDX-License-Identifier: MIT
#pragma once

/// Sleeping on a word of 32 bits, plain or atomic, which may be shared with other processes.
/// Async-signal-safe, and without errno: also for a child that shares its parent's memory.
/// Source: futex(2); std::chrono::steady_clock is CLOCK_MONOTONIC in libstdc++ and libc++

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <chrono>
#include <cstdint>

#include "os/raw_syscall.h"

namespace tine::os {

/// Sleeps while `*word` is `value`. False: `deadline` has passed. True: look at the word again, it
/// may have changed.
inline bool futex_wait_until(const void* word, std::uint32_t value,
                             std::chrono::steady_clock::time_point deadline) noexcept {
  const auto since_boot = deadline.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
  const timespec until{static_cast<time_t>(seconds.count()),
                       static_cast<long>(std::chrono::nanoseconds(since_boot - seconds).count())};
  constexpr long kTimedOut = -110;  // ETIMEDOUT
  // The plain FUTEX_WAIT counts from now: a signal would start the time again.
  return raw_syscall(SYS_futex, as_word(word), FUTEX_WAIT_BITSET, value, as_word(&until), 0,
                     FUTEX_BITSET_MATCH_ANY) != kTimedOut;
}

/// The same without end: look at the word again.
inline void futex_wait(const void* word, std::uint32_t value) noexcept {
  raw_syscall(SYS_futex, as_word(word), FUTEX_WAIT, value);
}

inline void futex_wake_all(const void* word) noexcept {
  constexpr long kEverybody = 0x7fffffff;
  raw_syscall(SYS_futex, as_word(word), FUTEX_WAKE, kEverybody);
}

}  // namespace tine::os
