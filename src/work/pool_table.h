// SPDX-License-Identifier: MIT
#pragma once

/// The memory through which a pool's host, its keeper and its workers know of each other.
///
/// A task lives in a TaskSlot, which the host fills and frees; its future is the slot. One word of
/// it says all about the task: its state, who runs it, whether somebody sleeps until it is done.
///
///     free -> writing -> queued -> running -> done | failed
///                          |          |-> ending -> failed       its time was up: the keeper's
///                          |          |-> cancelling -> cancelled
///                          |          '-> delayed -> queued      to be tried again: the keeper's
///                          '-> cancelled                         a cancel: the host's
///
/// A worker takes a task by changing that word from queued to running, with its own number in it:
/// so whoever is killed at whatever instant, the word says whose task it was. The queues hold
/// numbers of slots; their heads are but hints where to look next. A worker takes several positions
/// of a queue at once when tasks are short, and says which: others may still take tasks from there.
/// One that failed and is to be tried again goes to the keeper, by a stack of slots: the worker
/// says `delayed` with its own number before it pushes, so that a death in between loses nothing.
/// Nothing here is a lock. The host trusts nothing that a worker writes further than its own
/// bounds; a worker that scribbles over the memory of others can spoil their results (decision 23).

#include <sched.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "tine/detail/pool_task.h"
#include "tine/error.h"
#include "work/crash_report.h"
#include "work/modules.h"

namespace tine::work {

inline constexpr std::size_t kMostSeats = 512;
inline constexpr std::uint32_t kNoSlot = 0xffffffff;
/// Stands for the keeper where a seat is meant.
inline constexpr std::uint32_t kKeeperSeat = 1023;
inline constexpr std::uint16_t kNoLimit = 0xffff;

// ---- Tasks ----

enum class TaskState : std::uint32_t {
  free,
  writing,
  queued,
  running,
  delayed,  ///< waits for its next attempt: of the worker in the word, or of the keeper
  ending,
  cancelling,  ///< its outcome is there, but a worker is still at it
  done,        // from here on nobody touches it but the host
  failed,
  cancelled,
  lost,
};

/// What stands in the word of a slot.
struct TaskWord {
  TaskState state = TaskState::free;
  bool awaited = false;  ///< somebody sleeps on it
  bool watched = false;  ///< the keeper is to be told of its end
  std::uint32_t seat = 0;

  static constexpr std::uint32_t kAwaited = 16;
  static constexpr std::uint32_t kWatched = 32;
  static constexpr std::uint32_t kSeatShift = 6;
  [[nodiscard]] std::uint32_t pack() const noexcept {
    return static_cast<std::uint32_t>(state) | (awaited ? kAwaited : 0) | (watched ? kWatched : 0) |
           seat << kSeatShift;
  }
  static TaskWord unpack(std::uint32_t word) noexcept {
    return {static_cast<TaskState>(word & 15), (word & kAwaited) != 0, (word & kWatched) != 0,
            (word >> kSeatShift) & 1023};
  }
  /// Whether there is an outcome.
  [[nodiscard]] bool finished() const noexcept { return state >= TaskState::cancelling; }
  /// Whether the host may use the slot again.
  [[nodiscard]] bool idle() const noexcept { return state >= TaskState::done; }
};

/// What the result in a slot is.
enum class ResultKind : std::uint8_t {
  value,
  failure,        ///< a FailureNote
  out_of_memory,  ///< nothing: there was too little even for a note
  broken,         ///< nothing: see PoolTable::broken_note
};

/// Bytes that are in the slot itself, or in chunks: `first` of an area.
struct BytesAt {
  static constexpr std::uint64_t kMostBytes = (std::uint64_t{1} << 40) - 1;

  BytesAt() noexcept = default;
  /// Requires: size <= kMostBytes.
  explicit BytesAt(std::size_t bytes, std::size_t first_chunk = 0, std::size_t of_area = 0) noexcept
      : size(bytes & kMostBytes), first(first_chunk & 0x3fffff), area(of_area & 3) {}

  std::uint64_t size : 40 = 0;
  std::uint64_t first : 22 = 0;
  std::uint64_t area : 2 = 0;  ///< 0: in the slot; 1: small chunks; 2: large ones
};
static_assert(sizeof(BytesAt) == 8);

/// What is known of a task and of the attempts at it, by TaskSlot::rules.
enum TaskRules : std::uint8_t {
  kMayRetry = 1,    ///< TaskSlot::again holds something
  kUnasked = 2,     ///< the result is a failure that retry_if has not seen
  kIsPart = 4,      ///< of a map, whose memory is here: it cannot be done in another pool
  kHasTimeout = 8,  ///< TaskSlot::timeout holds something
};

struct alignas(64) TaskSlot {
  static constexpr std::size_t kTiny = 16;
  static constexpr std::size_t kNear = 48;

  // A line that both sides look at anyway: of a small task, all there is...
  std::atomic<std::uint32_t> word{0};
  ResultKind kind : 4 {};
  std::uint8_t queue : 4 {};
  std::uint8_t rules{};
  std::uint16_t attempts{};
  detail::TaskThunk thunk{};
  BytesAt arguments{};
  BytesAt result{};
  alignas(16) std::byte tiny_arguments[kTiny];
  alignas(16) std::byte tiny_result[kTiny];
  // ...one that only the worker needs, as a rule...
  std::int64_t timeout{};  ///< ns
  std::uint16_t retries{};
  std::uint16_t crash_retries{};
  std::uint16_t crashes{};
  alignas(16) std::byte near_arguments[kNear];
  // ...one for results that are not tiny...
  std::byte near_result[kNear];
  // ...and one for tasks that may be tried again.
  struct Again {
    detail::RetryIf retry_if{};
    detail::RetryDelay retry_delay{};
    std::int64_t not_before{};           ///< ns since boot
    std::atomic<std::uint32_t> below{};  ///< in the stack of those that the keeper is to take
    std::uint16_t memory_retries{};
    std::uint16_t memory_failures{};  ///< while they have a limit of their own
  };
  alignas(64) Again again{};

  /// Where arguments and a result of this size are, if they are in the slot.
  [[nodiscard]] std::byte* arguments_at(std::size_t size) noexcept {
    return size <= kTiny ? tiny_arguments : near_arguments;
  }
  [[nodiscard]] std::byte* result_at(std::size_t size) noexcept {
    return size <= kTiny ? tiny_result : near_result;
  }

  [[nodiscard]] TaskWord load() const noexcept {
    return TaskWord::unpack(word.load(std::memory_order_acquire));
  }
  /// From one state to another, with a seat; who waits or watches remains. Gives the word before;
  /// nothing when it was in another state, or of another seat than `of`.
  std::optional<TaskWord> change(TaskState from, TaskState to, std::uint32_t seat,
                                 std::optional<std::uint32_t> of = {}) noexcept;
  /// The same for a state with an outcome: wakes who sleeps for it.
  std::optional<TaskWord> conclude(TaskState from, TaskState to, std::uint32_t seat,
                                   std::optional<std::uint32_t> of = {}) noexcept;
  /// Counts a failed attempt. Whether there may be another.
  [[nodiscard]] bool count_failure(Cause cause, bool crashed) noexcept;
  [[nodiscard]] bool has_rules() const noexcept {
    return (rules & kMayRetry) != 0 && (again.retry_if != nullptr || again.retry_delay != nullptr);
  }
};
static_assert(sizeof(TaskSlot) == 256);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

// ---- Queues ----

/// One process puts, workers take. An entry is a position, for who looks whether it is there yet,
/// and a slot.
struct TaskQueue {
  alignas(64) std::atomic<std::uint64_t> head{0};  ///< a hint: nothing to take before this
  alignas(64) std::atomic<std::uint64_t> tail{0};
};

/// In the order in which workers look.
enum QueueIndex : std::uint32_t { kReturned, kHigh, kNormal, kLow, kQueues };

// ---- Workers ----

/// A set of seats, of which everybody may take and add.
class SeatSet {
 public:
  void add(std::size_t seat) noexcept { word(seat).fetch_or(bit(seat)); }
  /// Whether it was in.
  bool remove(std::size_t seat) noexcept {
    return (word(seat).fetch_and(~bit(seat)) & bit(seat)) != 0;
  }
  [[nodiscard]] bool contains(std::size_t seat) const noexcept {
    return (words_[seat / 64].load() & bit(seat)) != 0;
  }
  [[nodiscard]] bool any() const noexcept {
    for (const auto& word : words_) {
      if (word.load() != 0) return true;
    }
    return false;
  }
  [[nodiscard]] std::size_t count() const noexcept {
    std::size_t all = 0;
    for (const auto& word : words_) {
      all += static_cast<std::size_t>(std::popcount(word.load(std::memory_order_relaxed)));
    }
    return all;
  }
  /// The lowest, which is no longer in.
  std::optional<std::size_t> take() noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      for (std::uint64_t seen = words_[i].load(); seen != 0; seen = words_[i].load()) {
        const std::size_t seat = i * 64 + static_cast<std::size_t>(std::countr_zero(seen));
        if (remove(seat)) return seat;
      }
    }
    return std::nullopt;
  }

 private:
  static std::uint64_t bit(std::size_t seat) noexcept { return std::uint64_t{1} << seat % 64; }
  std::atomic<std::uint64_t>& word(std::size_t seat) noexcept { return words_[seat / 64]; }
  alignas(64) std::array<std::atomic<std::uint64_t>, kMostSeats / 64> words_{};
};

enum class PoolStage : std::uint32_t {
  starting,
  initializing,
  init_failed,  ///< PoolSeat::note says how
  working,
  out_of_memory,  ///< too short of it to say more
  ended,          ///< in order: retired, idle for too long, or told to
};

struct alignas(64) PoolSeat {
  // The worker's own.
  std::atomic<PoolStage> stage{PoolStage::starting};
  std::atomic<std::uint32_t> current{kNoSlot};  ///< set before the slot's word
  std::atomic<std::uint32_t> allocating{0};     ///< chunks may be in nobody's account
  std::atomic<std::uint32_t> deciding{0};       ///< it runs what decides about another attempt
  std::atomic<std::uint32_t> range_queue{0};    ///< positions [next, end) of this queue are its own
  std::atomic<std::uint64_t> range_next{0};
  std::atomic<std::uint64_t> range_end{0};
  std::atomic<std::int64_t> deadline{0};     ///< of the current task, ns since boot; 0: none
  std::atomic<std::uint64_t> begun{0};       ///< tasks, by all workers of this seat
  std::atomic<std::uint64_t> begun_then{0};  ///< what that will be if the current task is its own
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint32_t> mean_cost{kUnknownCost};  ///< ns of a task
  std::atomic<std::uint64_t> errors_at_task{0};        ///< of its stderr, at most, so far
  std::atomic<std::uint32_t> errors_awaited{0};        ///< it waits for errors_passed
  // Others write here.
  alignas(64) std::atomic<std::uint32_t> bell{0};  ///< a futex: look for tasks
  std::atomic<std::uint32_t> hold{0};              ///< a futex: do not begin another task
  std::atomic<std::uint32_t> mail{kNoSlot};        ///< a task that is meant for this worker
  std::atomic<std::uint32_t> retire{0};
  std::atomic<std::int32_t> pid{0};
  std::atomic<std::uint32_t> errors_passed{0};  ///< a futex: bytes of its stderr that are out
  CrashReport crash{};
  std::uint64_t note_size{};
  std::array<std::byte, 4096> note{};  ///< a FailureNote of the initializer

  static constexpr std::uint32_t kUnknownCost = 0xffffffff;
};

// ---- The table ----

enum class Closing : std::uint32_t { no, drain, kill };

/// A module of the host, for workers that are no copies of it.
struct HostModule {
  std::uint64_t base;
  std::uint64_t begin;
  std::uint64_t end;
  BuildId build_id;
  std::array<char, 256> path;  ///< empty: the program, or too long
};

struct PoolTable {
  std::atomic<std::uint32_t> life{0};  ///< of the keeper: os/life_word.h
  std::atomic<std::uint32_t> broken{0};
  std::atomic<Closing> closing{Closing::no};
  std::atomic<std::uint32_t> target{0};  ///< workers, at most
  std::atomic<std::uint32_t> alive{0};
  std::atomic<std::uint64_t> deaths{0};
  std::atomic<std::uint64_t> returned{0};  ///< tasks that were begun and are queued again
  std::atomic<std::uint64_t> dropped{0};   ///< queued tasks that have an outcome and never began
  std::atomic<std::uint64_t> died{0};      ///< tasks that the keeper has failed
  std::uint32_t cpus = 1;
  std::atomic<std::uint64_t> map_items{0};  ///< of all maps that are going on

  /// Until when the keeper sleeps, ns since boot; 0: it is awake and will look.
  alignas(64) std::atomic<std::int64_t> keeper_asleep{0};
  std::atomic<std::uint32_t> keeper_called{0};
  /// A submit waits for room in a queue; and the futex on which it does.
  alignas(64) std::atomic<std::uint32_t> room_wanted{0};
  std::atomic<std::uint32_t> room{0};
  std::atomic<std::uint32_t> slots_used{0};  ///< slots from here on have never been used
  std::atomic<std::uint32_t> chunks_used[2]{};
  std::atomic<std::uint32_t> handed_back{kNoSlot};  ///< the top of the stack for the keeper

  SeatSet searching{};  ///< awake, and about to look for tasks
  SeatSet parked{};     ///< asleep until the bell
  SeatSet dozing{};     ///< of these: will look by themselves within a millisecond
  std::array<TaskQueue, kQueues> queues{};

  /// Those whose code tasks have spoken of; only the host adds any.
  std::array<HostModule, 64> host_modules{};
  std::atomic<std::uint32_t> host_module_count{0};
  ModuleMap keeper_modules{};  ///< of a keeper that is no copy of the host

  /// On which CPU somebody was when he last looked, from 1; 0: not known. Two of us on one CPU had
  /// better not wait for each other awake. Written where that changes, and nowhere else.
  alignas(64) std::atomic<std::uint32_t> host_cpu{0};  ///< when it went to sleep
  /// When it last began to look for tasks, went to sleep, or was about to wake the host; not known
  /// before its first look, while it moves, and when it has ended.
  std::array<std::atomic<std::uint16_t>, kMostSeats> worker_cpu{};

  std::uint64_t broken_size{};
  std::array<std::byte, 16384> broken_note{};  ///< a FailureNote
};

/// The caller's, from 1; 0: not known.
[[nodiscard]] inline std::uint16_t current_cpu() noexcept {
  const int cpu = ::sched_getcpu();
  return static_cast<std::uint16_t>(cpu < 0 ? 0 : cpu + 1);
}
/// Without making others' copies of it old, unless it is new.
template <class T>
void store_if_new(std::atomic<T>& word, T value) noexcept {
  if (word.load(std::memory_order_relaxed) != value) word.store(value, std::memory_order_relaxed);
}

}  // namespace tine::work
