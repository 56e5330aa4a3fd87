// SPDX-License-Identifier: MIT
#pragma once

/// What tests of pools have in common: numbers that a task and its test both see, and tasks.

#include <sched.h>
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

namespace tine::test {

/// Tasks have no captures, so these are global; the workers inherit the mapping.
inline std::array<std::atomic<int>, 64>& shared =
    *new (::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
        std::array<std::atomic<int>, 64>{};

/// Places in it.
enum Place : std::size_t { kGate, kBegun, kCount, kPid, kOther };

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

inline int twice(int n) { return 2 * n; }
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
