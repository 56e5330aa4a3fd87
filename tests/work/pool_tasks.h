// SPDX-License-Identifier: MIT
#pragma once

/// What tests of pools have in common: numbers that a task and its test both see, and tasks.

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pool.h"
#include "tine/process.h"
#include "work/map_worker.h"
#include "work/numbers.h"
#include "work/pool_worker.h"

namespace tine::test {

/// Tasks have no captures, so these are global; the workers inherit the mapping.
inline std::array<std::atomic<int>, 64>& shared =
    *new (::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
        std::array<std::atomic<int>, 64>{};

/// Places in it.
enum Place : std::size_t { kGate, kBegun, kCount, kPid, kOther, kUntilDeath };

/// Every test begins with zeros.
struct PoolFixture : CleanProcessTest {
  void SetUp() override {
    for (auto& number : shared) number = 0;
    CleanProcessTest::SetUp();
  }
};

inline void wait_for(std::size_t place, int least) {
  while (shared[place].load() < least) ::sched_yield();
}

inline pid_t parent_of(pid_t pid) { return process_info(pid).value().parent; }
inline pid_t own_pid() { return ::getpid(); }
inline void nothing() {}

/// Tells that it has begun, and goes on when the gate is open.
inline pid_t wait_at_gate() {
  ++shared[kBegun];
  wait_for(kGate, 1);
  return ::getpid();
}

/// The same, but nothing except a signal ends it.
inline void hang() {
  ++shared[kBegun];
  for (;;) ::pause();
}

/// Counts down to the death of whoever comes there last.
inline void die_in_turn() noexcept {
  if (--shared[kUntilDeath] == 0) ::kill(::getpid(), SIGKILL);
}

/// As long as this lives, the worker that comes to `step` as number `turn` dies there.
class DeadlyStep {
 public:
  explicit DeadlyStep(work::PoolStep step, int turn = 1) {
    step_ = static_cast<int>(step);
    shared[kUntilDeath] = turn;
    work::at_pool_step = [](work::PoolStep at) noexcept {
      if (static_cast<int>(at) == step_) die_in_turn();
    };
  }
  /// In a part of a map.
  explicit DeadlyStep(work::WorkerStep step, int turn = 1) {
    step_ = static_cast<int>(step);
    shared[kUntilDeath] = turn;
    work::at_worker_step = [](work::WorkerStep at, work::MapTable&, work::WorkerSlot&) noexcept {
      if (static_cast<int>(at) == step_) die_in_turn();
    };
  }
  DeadlyStep(const DeadlyStep&) = delete;
  DeadlyStep& operator=(const DeadlyStep&) = delete;
  ~DeadlyStep() {
    work::at_pool_step = nullptr;
    work::at_worker_step = nullptr;
  }

 private:
  static inline int step_ = 0;
};

template <class R>
std::vector<R> values(std::vector<PoolFuture<R>>& futures) {
  std::vector<R> all;
  for (auto& future : futures) {
    auto value = future.get();
    if (!value) {
      ADD_FAILURE() << value.error().to_string();
      continue;
    }
    all.push_back(std::move(*value));
  }
  return all;
}

}  // namespace tine::test
