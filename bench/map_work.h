// SPDX-License-Identifier: MIT
/// What the items of a measured map do: the same in tine_map.cc, thread_map.cc and
/// reference/bare_map.h. The work is counted and not timed, so that a busy neighbour cannot do a
/// part of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "rounds.h"

namespace bench {

inline constexpr int kWorkers = 2;

/// About this many microseconds on a core of 3 GHz.
inline std::uint64_t spin(double microseconds) {
  std::uint64_t value = 88172645463325252u;
  for (auto left = static_cast<long>(microseconds * 500); left > 0; --left) {
    value ^= value << 13;
    value ^= value >> 7;
    value ^= value << 17;
  }
  return value;
}

/// `--work`: `empty`, `spin` (--size microseconds an item), `skewed` (one item in 100 costs 100
/// times the rest) or `tail` (the last one in 100 have all of it).
struct Work {
  enum class Kind : unsigned char { empty, spin, skewed, tail };

  explicit Work(const Options& options)
      : count(static_cast<std::size_t>(options.items)), each(std::atof(options.size.c_str())) {
    if (options.work == "spin") kind = Kind::spin;
    if (options.work == "skewed") kind = Kind::skewed;
    if (options.work == "tail") kind = Kind::tail;
    items.resize(count);
    std::iota(items.begin(), items.end(), 0);
  }
  [[nodiscard]] double microseconds(std::size_t item) const {
    switch (kind) {
      case Kind::skewed: return item % 100 == 50 ? 100 * each : each;
      case Kind::tail: return item >= count - count / 100 ? 100 * each : 0;
      default: return each;
    }
  }
  /// What an item that works becomes; an empty one is its number and one.
  [[nodiscard]] int run(int item) const {
    return static_cast<int>(spin(microseconds(static_cast<std::size_t>(item))) & 1) | item;
  }

  std::size_t count;
  double each;
  Kind kind = Kind::empty;
  std::vector<int> items{};
};

/// Keeps what has been computed from being left out.
inline volatile long long sum_of_results = 0;

}  // namespace bench
