// SPDX-License-Identifier: MIT
#pragma once

/// The memory through which the workers of a lazy map and their parent know of each other.
///
/// A cell is an item in flight: the parent fills it, a worker claims it, the parent takes its
/// result and fills it again. Its state is one word, so whoever is killed leaves it whole; the
/// parent knows whose it was. What is in input and result is there before the state says so.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "work/map_table.h"

namespace tine::work {

enum class CellStage : std::uint32_t {
  empty,
  filled,   ///< to be claimed
  claimed,  ///< by a worker
  done,     ///< `result_size` bytes of result
  failed,   ///< the result is a FailureHead, then a FailureNote
};

struct CellState {
  CellStage stage = CellStage::empty;
  std::uint32_t worker = 0;  ///< its place, when claimed
};
static_assert(std::atomic<CellState>::is_always_lock_free);

struct alignas(64) StreamCell {
  std::atomic<CellState> state{};
  std::atomic<std::uint64_t> item{0};
  std::atomic<std::uint64_t> input_size{0};
  std::atomic<std::uint64_t> result_size{0};
  std::atomic<std::uint64_t> result_ready{0};  ///< bytes for which there are pages: a hint
};

struct alignas(64) StreamTable {
  std::atomic<std::uint32_t> offers{0};  ///< a futex: counts whenever a cell is filled
  std::atomic<std::uint32_t> stop{0};
  /// Why the parent wants a notice: it sleeps until this cell (+ 1) is done, or any.
  std::atomic<std::uint32_t> awaited{0};
};
inline constexpr std::uint32_t kNobody = 0;
inline constexpr std::uint32_t kAnyCell = 0xffffffff;

}  // namespace tine::work
