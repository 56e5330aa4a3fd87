// SPDX-License-Identifier: MIT
/// The least that warm workers cost: processes that were forked once and are told of work through
/// shared memory or a pipe. Nothing is noticed but that the work is done.
#pragma once

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "map_work.h"

namespace bench {

using Word = std::atomic<std::uint32_t>;

inline void futex_wait(Word& word, std::uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr, nullptr, 0);
}
inline void futex_wake(Word& word) { syscall(SYS_futex, &word, FUTEX_WAKE, 1 << 30); }

/// Waits until `word` is no longer `value`: awake for `microseconds`, then asleep, which `parked`
/// says meanwhile.
inline void wait_for_change(Word& word, std::uint32_t value, Word& parked, int microseconds) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::microseconds(microseconds);
  while (microseconds > 0 && Clock::now() < until) {
    for (int i = 0; i < 64; ++i) {
      if (word.load(std::memory_order_acquire) != value) return;
      __builtin_ia32_pause();
    }
  }
  while (word.load() == value) {
    parked.store(1);
    futex_wait(word, value);
    parked.store(0);
  }
}

/// Changes it, and wakes who sleeps until it does.
inline void change(Word& word, Word& parked) {
  word.fetch_add(1);
  if (parked.load() != 0) futex_wake(word);
}

template <class Body>
pid_t fork_worker(const Body& body) {
  const pid_t worker = fork();
  if (worker < 0) fail("fork");
  if (worker > 0) return worker;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  body();
  _exit(0);
}

inline void* shared_memory(std::size_t size) {
  void* const memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return memory;
}

/// A map of ints to ints in warm workers: items are copied into shared memory (the workers are
/// older than them), taken in chunks that shrink towards the end (guided), and the results stand in
/// a shared array. The parent sleeps until they are there.
template <class Run>
class BareMapPool {
 public:
  BareMapPool(std::size_t most, const Run& run) {
    const std::size_t size = sizeof(Head) + 2 * most * sizeof(int);
    head_ = new (shared_memory(size)) Head;
    items_ = reinterpret_cast<int*>(head_ + 1);
    results_ = items_ + most;
    std::memset(items_, 1, 2 * most * sizeof(int));
    for (int i = 0; i < kWorkers; ++i) fork_worker([&] { work(run); });
  }

  /// The results, which stay until the next time.
  const int* map(const std::vector<int>& items) {
    std::memcpy(items_, items.data(), items.size() * sizeof(int));
    return run(items.size());
  }
  /// Of the items that are there.
  const int* run(std::size_t count) {
    head_->count = count;
    head_->left.store(count, std::memory_order_relaxed);
    head_->cursor.store(0, std::memory_order_release);
    head_->round.fetch_add(1);
    if (head_->sleepers.load() != 0) futex_wake(head_->round);
    for (std::uint32_t seen = head_->done.load(); head_->left.load() != 0;
         seen = head_->done.load()) {
      futex_wait(head_->done, seen);
    }
    return results_;
  }

 private:
  struct Head {
    alignas(64) std::atomic<std::size_t> cursor{~std::size_t{0}};
    alignas(64) std::atomic<std::size_t> left{0};
    alignas(64) std::size_t count = 0;
    alignas(64) Word round{0};
    Word sleepers{0};
    alignas(64) Word done{0};
  };

  void work(const Run& run) {
    constexpr auto kSpin = std::chrono::microseconds(20);
    using Clock = std::chrono::steady_clock;
    for (std::uint32_t seen = 0;;) {
      const auto until = Clock::now() + kSpin;
      while (head_->round.load() == seen && Clock::now() < until) __builtin_ia32_pause();
      while (head_->round.load() == seen) {
        head_->sleepers.fetch_add(1);
        futex_wait(head_->round, seen);
        head_->sleepers.fetch_sub(1);
      }
      seen = head_->round.load();
      take_chunks(run);
    }
  }
  void take_chunks(const Run& run) {
    for (;;) {
      std::size_t begin = head_->cursor.load(std::memory_order_acquire);
      std::size_t chunk = 0;
      do {
        if (begin >= head_->count) return;
        chunk = std::max<std::size_t>(1, (head_->count - begin) / (2 * kWorkers));
      } while (!head_->cursor.compare_exchange_weak(begin, begin + chunk));
      for (std::size_t i = begin; i < begin + chunk; ++i) results_[i] = run(items_[i]);
      if (head_->left.fetch_sub(chunk) != chunk) continue;
      head_->done.fetch_add(1);
      futex_wake(head_->done);
    }
  }

  Head* head_;
  int* items_;
  int* results_;
};

/// One worker, and a place for one task: both sides wait awake for 20 us, then asleep.
class BareRing {
 public:
  BareRing() : slot_(new(shared_memory(sizeof(Slot))) Slot) {
    fork_worker([this] {
      for (std::uint32_t seen = 0;; ++seen) {
        wait_for_change(slot_->asked, seen, slot_->worker_parked, kSpin);
        slot_->value = slot_->value + 1;
        change(slot_->answered, slot_->host_parked);
      }
    });
  }
  long call(long value) {
    slot_->value = value;
    change(slot_->asked, slot_->worker_parked);
    wait_for_change(slot_->answered, calls_++, slot_->host_parked, kSpin);
    return slot_->value;
  }

 private:
  static constexpr int kSpin = 20;
  struct Slot {
    alignas(64) Word asked{0};
    Word worker_parked{0};
    long value = 0;
    alignas(64) Word answered{0};
    Word host_parked{0};
  };
  Slot* slot_;
  std::uint32_t calls_ = 0;
};

/// One worker, asleep in read.
class BarePipe {
 public:
  BarePipe() {
    int there[2];
    int back[2];
    if (pipe(there) != 0 || pipe(back) != 0) fail("pipe");
    fork_worker([&] {
      close(there[1]);
      close(back[0]);
      for (long value = 0; read(there[0], &value, sizeof value) == sizeof value;) {
        ++value;
        if (write(back[1], &value, sizeof value) != sizeof value) return;
      }
    });
    close(there[0]);
    close(back[1]);
    to_ = there[1];
    from_ = back[0];
  }
  long call(long value) {
    if (write(to_, &value, sizeof value) != sizeof value) fail("write");
    if (read(from_, &value, sizeof value) != sizeof value) fail("read");
    return value;
  }

 private:
  int to_ = -1;
  int from_ = -1;
};

}  // namespace bench
