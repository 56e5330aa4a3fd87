// SPDX-License-Identifier: MIT
#pragma once

/// The memory through which the workers of a map and their parent know of each other.
///
/// A worker takes a batch from the front of its own range, and moves a mark along as its items get
/// done. With an empty range it looks for more: what the parent has handed out (of workers that
/// died, items to be tried again), half of another's range, or, if all is in batches, it asks the
/// holder of the largest one to hand back what has not begun.
///
///     range  [....take_half.....|  batch: done -> limit  |  runs: what it has done
///
/// Nothing here is a lock: whoever is killed leaves words that are whole. Items that were in no
/// word at that moment (taken, but not yet noted as a batch) are missing in the parent's account at
/// the end, which hands them out again. The parent trusts nothing of what a worker has written.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "work/crash_report.h"
#include "work/item_range.h"

namespace tine::work {

/// How far a worker has come in its life.
enum class WorkerStage : std::uint32_t {
  starting,      ///< forked
  initializing,  ///< in the user's initializer
  init_failed,   ///< which threw: the last failure record says what
  working,
  out_of_memory,  ///< too short of it to say more: the item it was running failed by that
  retired,        ///< wants to be replaced by a fresh one
  finished,       ///< found nothing more to do
};

/// Reasons to interrupt a batch.
inline constexpr std::uint32_t kShare = 1;  ///< another worker has nothing to do
inline constexpr std::uint32_t kStop = 2;   ///< nothing new is to begin

/// One contiguous piece of what a worker has done.
struct Run {
  std::atomic<std::uint64_t> begin{0};
  std::atomic<std::uint64_t> done{0};  ///< items [begin, done)
};
/// A worker that has made so many retires.
inline constexpr std::size_t kMostRuns = 128;

struct SlowEntry {
  std::atomic<std::uint64_t> item{0};
  std::atomic<std::int64_t> elapsed{0};  ///< ns; 0: none
};
inline constexpr std::size_t kSlowEntries = 8;

struct alignas(64) WorkerSlot {
  // Written by the worker alone, at each batch or failure.
  std::atomic<WorkerStage> stage{WorkerStage::starting};
  std::atomic<std::uint32_t> runs_used{0};
  std::atomic<std::uint64_t> limit{0};            ///< the batch is [runs[last].done, limit)
  std::atomic<std::int64_t> item_started{0};      ///< ns since boot, where timeouts are wanted
  std::atomic<std::uint64_t> written{0};          ///< bytes of whole records in its arena
  std::atomic<std::uint64_t> last_failure{0};     ///< the offset of its record; 0: none
  std::atomic<std::uint64_t> errors_at_batch{0};  ///< what had been written to stderr at its start
  std::atomic<std::int64_t> working{0};           ///< ns
  std::atomic<std::int64_t> waiting{0};

  // Others write here, when they have nothing to do.
  alignas(64) ItemRange range{};
  std::atomic<std::uint32_t> interrupted{0};

  alignas(64) std::array<Run, kMostRuns> runs{};
  std::array<SlowEntry, kSlowEntries> slowest{};
  std::atomic<pid_t> pid{0};  ///< of the worker of a pool
  CrashReport crash{};

  /// The run that is being added to. Requires: runs_used > 0, which is checked.
  [[nodiscard]] Run* current_run() noexcept {
    const std::uint32_t used = runs_used.load(std::memory_order_acquire);
    return used > 0 && used <= kMostRuns ? &runs[used - 1] : nullptr;
  }
  /// How many items its worker has finished, as it says.
  [[nodiscard]] std::uint64_t items_done() const noexcept {
    std::uint64_t items = 0;
    const std::uint32_t used = runs_used.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < used && i < kMostRuns; ++i) {
      items += runs[i].done.load(std::memory_order_relaxed) -
               runs[i].begin.load(std::memory_order_relaxed);
    }
    return items;
  }
  /// The item that its worker is running, of so many, as far as it says so.
  [[nodiscard]] std::optional<std::uint32_t> current_item(std::uint32_t count) noexcept {
    Run* const run = current_run();
    if (run == nullptr) return std::nullopt;
    const std::uint64_t item = run->done.load(std::memory_order_acquire);
    if (item >= limit.load(std::memory_order_acquire) || item >= count) return std::nullopt;
    return static_cast<std::uint32_t>(item);
  }
};
static_assert(std::atomic<WorkerStage>::is_always_lock_free);

inline constexpr std::size_t kHandedOut = 64;

struct alignas(64) MapTable {
  /// A futex: counts whenever there may be something new to take.
  std::atomic<std::uint32_t> offers{0};
  std::atomic<std::uint32_t> stop{0};      ///< nothing new is to begin
  std::atomic<std::uint64_t> failures{0};  ///< items that threw, where that may stop the map
  /// The parent has more to hand out than there is room: worth waiting for.
  std::atomic<std::uint32_t> more{0};
  alignas(64) std::array<ItemRange, kHandedOut> handed_out{};

  void announce() noexcept;
};

// ---- Records, in a worker's arena ----

enum class RecordKind : std::uint32_t {
  value = 1,
  failure,  ///< a FailureHead, then a FailureNote
};

struct RecordHead {
  std::uint64_t item;
  std::uint64_t size;  ///< of what follows, without the padding to 8 bytes
  RecordKind kind;
  std::uint32_t zero;
};
static_assert(sizeof(RecordHead) == 24);

struct FailureHead {
  std::uint64_t previous;      ///< the offset of the failure before this one; 0: none
  std::uint64_t errors_begin;  ///< what the item wrote to stderr, at most, is [begin, end) of it
  std::uint64_t errors_end;
  std::int64_t elapsed;  ///< ns, of its batch up to here
};

/// The first record begins here: no offset is 0.
inline constexpr std::size_t kArenaStart = 64;

}  // namespace tine::work
