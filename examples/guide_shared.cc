// SPDX-License-Identifier: MIT
//
// What a process and its children see alike, and locks that a fork leaves usable.

#include <tine/tine.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

namespace {

void counter() {
  const std::vector<std::string> words{"a", "tine", "of", "a", "fork"};
  tine::Shared<std::atomic<int>> articles{0};
  const auto lengths = tine::map(words, [&](const std::string& word) {
    if (word == "a") ++*articles;
    return word.size();
  });
  std::printf("%zu words, %d of them articles\n", lengths.size(), articles->load());
}

/// Filled in place: nothing is copied, and nothing has to come back.
void array() {
  constexpr std::size_t kBlock = 1000;
  tine::SharedSpan<double> table(8 * kBlock);
  const std::vector<std::size_t> blocks{0, 1, 2, 3, 4, 5, 6, 7};
  const auto filled = tine::map(blocks, [&](std::size_t block) {
    std::fill_n(table.begin() + static_cast<std::ptrdiff_t>(block * kBlock), kBlock, 0.5);
  });
  std::printf("filled: %s, sum %.0f\n", filled.all_succeeded() ? "all" : "not all",
              std::accumulate(table.begin(), table.end(), 0.0));
}

/// Who is forked while a thread holds it finds it free, and knows that the data may be half done.
void lock() {
  tine::ForkMutex mutex;
  std::vector<int> cache{1, 2, 3};
  const std::lock_guard held(mutex);
  const auto in_child = tine::call([&] {
    const std::lock_guard lock(mutex);
    if (mutex.was_abandoned()) {
      cache.clear();
      mutex.mark_consistent();
    }
    return cache.size();
  });
  std::printf("in the child %zu, here %zu\n", *in_child, cache.size());
}

}  // namespace

int main() {
  counter();
  array();
  lock();
  return 0;
}
