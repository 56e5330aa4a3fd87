// SPDX-License-Identifier: MIT
#include "tine/fork_mutex.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <bit>
#include <cassert>

#include "os/fork_generation.h"
#include "os/raw_syscall.h"

/// The word, 0 when free:
///
///     thread (32) | generation (30) | awaited (1) | held (1)
///
/// `thread` is a number that no other thread of this process or of its ancestors has; the copy of a
/// thread in a forked child keeps it. `generation` is that of the process in which it was locked. A
/// word of another generation was locked by a thread of an ancestor, before a fork. None of them
/// runs here, so nobody has to be waited for: whoever comes takes it, with one exchange. A word of
/// this generation was locked here and will be unlocked here. So lock() can hang only where that of
/// a process which never forks would.
///
/// Waiting is on the lower half of the word, as in Drepper's "Futexes Are Tricky", mutex 2: who has
/// waited takes it as awaited, because others may wait still.

namespace tine {
namespace {

constexpr std::uint64_t kHeld = 1;
constexpr std::uint64_t kAwaited = 2;
constexpr std::uint64_t kGenerations = 0xffff'fffc;
constexpr int kThreadShift = 32;

/// Grows with every thread that ever locks one; a child goes on where its parent was.
constinit std::atomic<std::uint32_t> threads{0};

std::uint64_t this_thread() noexcept {
  constinit thread_local std::uint32_t number = 0;
  while (number == 0) number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  return std::uint64_t{number} << kThreadShift;
}

std::uint64_t held_by_this_thread() noexcept {
  return this_thread() | (std::uint64_t{os::fork_generation()} << 2 & kGenerations) | kHeld;
}

constexpr std::uint64_t thread_of(std::uint64_t word) { return word >> kThreadShift; }
constexpr std::uint64_t generation_of(std::uint64_t word) { return word & kGenerations; }

bool may_be_taken(std::uint64_t word, std::uint64_t mine) noexcept {
  return word == 0 || generation_of(word) != generation_of(mine);
}

const void* lower_half(const std::atomic<std::uint64_t>& word) noexcept {
  constexpr std::size_t kAt = std::endian::native == std::endian::little ? 0 : 1;
  return reinterpret_cast<const std::uint32_t*>(&word) + kAt;
}

void sleep_while(const std::atomic<std::uint64_t>& word, std::uint64_t value) noexcept {
  os::raw_syscall(SYS_futex, os::as_word(lower_half(word)), FUTEX_WAIT_PRIVATE,
                  static_cast<std::uint32_t>(value), 0);
}

void wake_one(const std::atomic<std::uint64_t>& word) noexcept {
  os::raw_syscall(SYS_futex, os::as_word(lower_half(word)), FUTEX_WAKE_PRIVATE, 1);
}

}  // namespace

void ForkMutex::taken_from(std::uint64_t before) noexcept {
  if (before != 0) abandoned_ = true;
}

void ForkMutex::lock() noexcept {
  const std::uint64_t mine = held_by_this_thread();
  std::uint64_t seen = 0;
  if (word_.compare_exchange_strong(seen, mine, std::memory_order_acquire)) return;
  lock_after(seen, mine);
}

void ForkMutex::lock_after(std::uint64_t seen, std::uint64_t mine) noexcept {
  assert((seen & ~kAwaited) != mine && "tine::ForkMutex: this thread holds it already");
  std::uint64_t taken = mine;
  for (;;) {
    if (may_be_taken(seen, mine)) {
      if (!word_.compare_exchange_weak(seen, taken, std::memory_order_acquire)) continue;
      return taken_from(seen);
    }
    const std::uint64_t awaited = seen | kAwaited;
    if (seen != awaited && !word_.compare_exchange_weak(seen, awaited, std::memory_order_relaxed)) {
      continue;
    }
    sleep_while(word_, awaited);
    taken = mine | kAwaited;
    seen = word_.load(std::memory_order_relaxed);
  }
}

bool ForkMutex::try_lock() noexcept {
  const std::uint64_t mine = held_by_this_thread();
  std::uint64_t seen = word_.load(std::memory_order_relaxed);
  while (may_be_taken(seen, mine)) {
    if (word_.compare_exchange_weak(seen, mine, std::memory_order_acquire)) {
      taken_from(seen);
      return true;
    }
  }
  return false;
}

void ForkMutex::unlock() noexcept {
  // The copy of a holder in a child finds what it locked before the fork, what somebody has taken
  // over since, or nothing.
  std::uint64_t seen = word_.load(std::memory_order_relaxed);
  do {
    if (thread_of(seen) != thread_of(this_thread())) return;
  } while (!word_.compare_exchange_weak(seen, 0, std::memory_order_release));
  if ((seen & kAwaited) != 0) wake_one(word_);
}

}  // namespace tine
