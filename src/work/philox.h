// SPDX-License-Identifier: MIT
#pragma once

/// Philox4x64-10: four random words from a counter and a key, without any state. Each counter is a
/// place in one of 2^128 sequences, so a place can be jumped to and no two streams can meet.
/// Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011); the
///         same as std::philox4x64 of C++26

#include <array>
#include <cstdint>

namespace tine::work {

using PhiloxCounter = std::array<std::uint64_t, 4>;
using PhiloxKey = std::array<std::uint64_t, 2>;

constexpr PhiloxCounter philox_round(const PhiloxCounter& at, const PhiloxKey& key) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide first = Wide{0xD2E7470EE14C6C93} * at[0];
  const Wide second = Wide{0xCA5A826395121157} * at[2];
  const auto high = [](Wide product) { return static_cast<std::uint64_t>(product >> 64); };
  const auto low = [](Wide product) { return static_cast<std::uint64_t>(product); };
  return {high(second) ^ at[1] ^ key[0], low(second), high(first) ^ at[3] ^ key[1], low(first)};
}

constexpr PhiloxCounter philox(PhiloxCounter at, PhiloxKey key) noexcept {
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    at = philox_round(at, key);
    key[0] += 0x9E3779B97F4A7C15;  // the golden ratio
    key[1] += 0xBB67AE8584CAA73B;  // sqrt(3) - 1
  }
  return at;
}

}  // namespace tine::work
