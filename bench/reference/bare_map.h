// SPDX-License-Identifier: MIT
/// The least that a map in forked workers costs: a fork for each at the call, a shared cursor from
/// which they take chunks that shrink towards the end (guided), results in a fresh shared array.
/// Nothing is noticed but that all of them have come to their end.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <new>
#include <vector>

#include "map_work.h"

namespace bench {

template <class Run>
void bare_worker(std::atomic<std::size_t>& cursor, const std::vector<int>& items, int* results,
                 const Run& run) {
  for (;;) {
    std::size_t begin = cursor.load(std::memory_order_relaxed);
    std::size_t chunk = 0;
    do {
      if (begin >= items.size()) return;
      chunk = std::max<std::size_t>(1, (items.size() - begin) / (2 * kWorkers));
    } while (!cursor.compare_exchange_weak(begin, begin + chunk));
    for (std::size_t i = begin; i < begin + chunk; ++i) results[i] = run(items[i]);
  }
}

/// Gives the sum of the results.
template <class Run>
long long bare_map(const std::vector<int>& items, const Run& run) {
  constexpr std::size_t kHead = 4096;
  const std::size_t size = kHead + items.size() * sizeof(int);
  void* const memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  auto* const cursor = new (memory) std::atomic<std::size_t>(0);
  int* const results = reinterpret_cast<int*>(static_cast<char*>(memory) + kHead);
  pid_t workers[kWorkers];
  for (pid_t& worker : workers) {
    worker = fork();
    if (worker < 0) fail("fork");
    if (worker == 0) {
      bare_worker(*cursor, items, results, run);
      _exit(0);
    }
  }
  for (const pid_t worker : workers) {
    int status = 0;
    if (waitpid(worker, &status, 0) != worker || status != 0) fail("a bare worker");
  }
  long long sum = 0;
  for (std::size_t i = 0; i < items.size(); ++i) sum += results[i];
  munmap(memory, size);
  return sum;
}

}  // namespace bench
