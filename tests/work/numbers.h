// SPDX-License-Identifier: MIT
#pragma once

/// What tests of calls, maps and pools send and get back.

#include <atomic>
#include <numeric>
#include <string>
#include <vector>

#include "tine/shared.h"

namespace tine::test {

/// 0 to count - 1.
inline std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

inline int twice(int n) { return 2 * n; }
inline int add(int a, int b) { return a + b; }

/// That workers and their parent both see.
using SharedCounters = SharedSpan<std::atomic<int>>;

/// Has to be encoded.
struct Entry {
  std::string name;
  std::vector<double> samples;
  bool operator==(const Entry&) const = default;
};

}  // namespace tine::test
