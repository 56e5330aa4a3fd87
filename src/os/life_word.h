// SPDX-License-Identifier: MIT
#pragma once

/// A word of shared memory that says whether a process lives, and wakes who sleeps on it when it
/// dies, however that happens: the kernel does it.
/// Source: get_robust_list(2), "robust futexes"; futex_waitv in futex2(2), Linux 5.16

#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "os/futex.h"
#include "os/raw_syscall.h"

namespace tine::os {

inline const std::uint32_t* futex_word(const std::atomic<std::uint32_t>& word) noexcept {
  return reinterpret_cast<const std::uint32_t*>(&word);
}

/// The calling thread's life is in `word` from now on. Its libc's robust mutexes, if it has any,
/// are not seen to any more.
inline void register_life(std::atomic<std::uint32_t>& word) noexcept {
  // A list of one entry, whose word lies where the offset says, seen from the entry itself.
  static robust_list entry;
  static robust_list_head head;
  entry.next = &head.list;
  head.list.next = &entry;
  head.futex_offset = reinterpret_cast<long>(&word) - reinterpret_cast<long>(&entry);
  // Somebody may sleep on it already, and is woken only if the word says so when we die.
  const auto self = static_cast<std::uint32_t>(raw_syscall(SYS_gettid));
  std::uint32_t seen = word.load();
  while (!word.compare_exchange_weak(seen, self | (seen & FUTEX_WAITERS))) {
  }
  raw_syscall(SYS_set_robust_list, as_word(&head), sizeof head);
}

/// Whether there has been an owner.
inline bool has_owner(const std::atomic<std::uint32_t>& word) noexcept {
  return (word.load(std::memory_order_acquire) & (FUTEX_TID_MASK | FUTEX_OWNER_DIED)) != 0;
}

inline bool has_died(const std::atomic<std::uint32_t>& word) noexcept {
  return (word.load(std::memory_order_acquire) & FUTEX_OWNER_DIED) != 0;
}

/// Sleeps while `word` is `value`, the owner of `life` lives and it is not `deadline` yet; or less:
/// look again. Kernels without a wait for two words look at the second every 20 ms.
inline void wait_while_alive(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                             std::atomic<std::uint32_t>& life,
                             std::chrono::steady_clock::time_point deadline) noexcept {
  struct Waiter {  // struct futex_waitv, which Debian 12's headers have, but others do not
    std::uint64_t value;
    std::uint64_t address;
    std::uint32_t flags;
    std::uint32_t reserved;
  };
  constexpr std::uint32_t kShared32 = 2;
  constexpr long kFutexWaitv = 449;
  const std::uint32_t owner = life.fetch_or(FUTEX_WAITERS) | FUTEX_WAITERS;
  if ((owner & FUTEX_OWNER_DIED) != 0) return;
  const Waiter both[2] = {{value, reinterpret_cast<std::uint64_t>(&word), kShared32, 0},
                          {owner, reinterpret_cast<std::uint64_t>(&life), kShared32, 0}};
  const auto since_boot = deadline.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
  const timespec until{static_cast<time_t>(seconds.count()),
                       static_cast<long>(std::chrono::nanoseconds(since_boot - seconds).count())};
  constexpr long kNoSuchCall = -38;  // ENOSYS
  constexpr long kForbidden = -1;    // EPERM, of a filter
  const long woken =
      raw_syscall(kFutexWaitv, as_word(&both[0]), 2, 0, as_word(&until), CLOCK_MONOTONIC);
  if (woken != kNoSuchCall && woken != kForbidden) return;
  const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  futex_wait_until(futex_word(word), value, std::min(deadline, soon));
}

}  // namespace tine::os
