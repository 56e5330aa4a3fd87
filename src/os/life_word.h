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
#include <cstddef>
#include <cstdint>
#include <span>

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

struct WatchedWord {
  const std::atomic<std::uint32_t>* word;
  std::uint32_t value;
};
/// Of those that are watched at once.
inline constexpr std::size_t kMostWatched = 127;

/// Sleeps while each of `words` is its value, the owner of `life` lives and it is not `deadline`
/// yet; or less: look again. Kernels without a wait for several words look at all but the first
/// every 20 ms, and all look at those beyond kMostWatched when one of the others changes.
inline void wait_while_alive(std::span<const WatchedWord> words, std::atomic<std::uint32_t>& life,
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
  Waiter all[kMostWatched + 1];  // NOLINT: of which the first are set
  std::size_t count = 0;
  for (const WatchedWord& each : words.first(std::min(words.size(), kMostWatched))) {
    all[count++] = {each.value, reinterpret_cast<std::uint64_t>(each.word), kShared32, 0};
  }
  all[count++] = {owner, reinterpret_cast<std::uint64_t>(&life), kShared32, 0};
  const auto since_boot = deadline.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
  const timespec until{static_cast<time_t>(seconds.count()),
                       static_cast<long>(std::chrono::nanoseconds(since_boot - seconds).count())};
  constexpr long kNoSuchCall = -38;  // ENOSYS
  constexpr long kForbidden = -1;    // EPERM, of a filter
  const long woken = raw_syscall(kFutexWaitv, as_word(&all[0]), static_cast<long>(count), 0,
                                 as_word(&until), CLOCK_MONOTONIC);
  if (woken != kNoSuchCall && woken != kForbidden) return;
  const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  const WatchedWord first = words.empty() ? WatchedWord{&life, owner} : words.front();
  futex_wait_until(futex_word(*first.word), first.value, std::min(deadline, soon));
}

/// The same for one.
inline void wait_while_alive(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                             std::atomic<std::uint32_t>& life,
                             std::chrono::steady_clock::time_point deadline) noexcept {
  const WatchedWord one{&word, value};
  wait_while_alive(std::span(&one, 1), life, deadline);
}

}  // namespace tine::os
