// SPDX-License-Identifier: MIT
#pragma once

/// A worker of a pool: takes tasks from shared memory, runs them, and says how it went. See
/// pool_memory.h for what it shares with the others. In a child of the keeper.
///
/// Cost: a task is two compare-and-swaps on its own slot. While tasks are short, several positions
/// of a queue are taken at once, with one look at the clock and one at stderr.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tine/map.h"
#include "tine/pool.h"
#include "work/failure_note.h"
#include "work/pool_map_memory.h"
#include "work/pool_map_worker.h"
#include "work/pool_memory.h"

namespace tine::work {

/// The places where a worker has done a part of what belongs together.
enum class PoolStep : unsigned char {
  started,
  initialized,
  named_range,  ///< but has not taken it
  took_range,   ///< none of its tasks
  named_task,   ///< but has not taken it
  took_task,
  placed_result,  ///< nobody knows
  published,
  said_delayed,  ///< but has not given it to the keeper
  handed_back,
  calling_keeper,  ///< who does not know
  parking,
  woken,
  ending,
  kCount,
};

/// For tests, which kill workers there; called in the worker. Not set: one load a step.
extern void (*at_pool_step)(PoolStep step) noexcept;
inline void passed(PoolStep step) noexcept {
  if (at_pool_step != nullptr) at_pool_step(step);
}

/// Times are ns since boot; this one is before their end.
inline std::int64_t deadline_after(std::int64_t now, std::int64_t ns) noexcept {
  return now + std::min(ns, std::numeric_limits<std::int64_t>::max() / 4);
}

class PoolWorker final : private PoolSite {
 public:
  /// `keeper_fd`: an eventfd.
  PoolWorker(PoolMemory& memory, const PoolOptions& options, std::size_t seat, int keeper_fd);
  PoolWorker(PoolWorker&&) = delete;

  /// The whole life of a worker process. Gives its exit code.
  int run() noexcept;

 private:
  class Output;
  friend class Output;

  bool initialize();
  [[nodiscard]] std::optional<std::uint32_t> next_task();
  [[nodiscard]] std::optional<std::uint32_t> next_of_range();
  [[nodiscard]] std::optional<std::uint32_t> take_mail();
  bool take_range();
  bool take_range_of(std::uint32_t queue, bool entry_seen);
  [[nodiscard]] std::uint64_t range_size() const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> steal();
  [[nodiscard]] bool claim(std::uint32_t slot);
  void end_range();
  void note_cost(std::uint64_t each) noexcept;
  [[nodiscard]] bool must_end();

  bool wait_for_tasks();
  [[nodiscard]] bool spin(std::int64_t limit) noexcept;
  [[nodiscard]] bool has_news() const noexcept;
  [[nodiscard]] bool has_entry() noexcept;
  void judge_spinning(bool spun) noexcept;
  void found_tasks(bool single) noexcept;
  [[nodiscard]] bool park(std::int64_t limit);

  void run_task(std::uint32_t slot);
  void attempt(std::uint32_t slot, TaskSlot& task);
  void begin_attempt(TaskSlot& task) noexcept;
  void set_deadline(std::int64_t deadline) noexcept;
  [[nodiscard]] PoolMapMemory find_map(const PartHead& part) const;
  void run_part(const PartHead& part, std::uint32_t queue, detail::MapBody& body);
  void run_part(PoolMapWorker& part, const WorkerSlot& slot, std::uint32_t queue,
                MapOptions& options);
  [[nodiscard]] bool is_needed(std::uint32_t queue) noexcept;
  void tell_deadline(std::int64_t due) const noexcept override;
  [[nodiscard]] std::vector<std::byte> note_of_failure() const override;
  [[nodiscard]] std::uint64_t errors_so_far() const noexcept override { return errors_; }
  [[nodiscard]] bool has_other_work() const noexcept override;
  void conclude(TaskSlot& task, TaskState state) noexcept;
  void attempt_failed(std::uint32_t slot, TaskSlot& task);
  void keep_note(std::uint32_t slot, TaskSlot& task, FailureNote note);

  // Further attempts.
  [[nodiscard]] bool ask_about_last(std::uint32_t slot, TaskSlot& task);
  [[nodiscard]] bool decide(TaskSlot& task, FailureNote& note);
  void hand_back(std::uint32_t slot, TaskSlot& task) noexcept;
  [[nodiscard]] std::int64_t idle_limit() const noexcept;
  [[nodiscard]] static std::uint64_t errors_written() noexcept;
  void look_at_errors();
  void show_errors() noexcept;
  [[nodiscard]] std::string stderr_tail() const;
  void call_keeper() const noexcept;
  void wake_another() const noexcept;
  void wake_host(TaskSlot& task) noexcept;
  void wait_to_be_ended(const TaskSlot& task) noexcept;
  [[nodiscard]] bool move_from(std::uint16_t cpu) noexcept;
  void part_from_others() noexcept;

  PoolMemory& memory_;
  PoolTable& table_;
  const PoolOptions& options_;
  const std::uint32_t place_;
  PoolSeat& seat_;
  const int keeper_fd_;
  std::uint64_t tasks_ = 0;     ///< of maps, the items
  std::uint64_t items_ = 0;     ///< of the part of a map that is being run
  bool knows_cost_ = false;     ///< of what was run since: from within
  bool is_part_ = false;        ///< what is being run is one
  std::uint64_t in_range_ = 0;  ///< tasks that were run since
  std::int64_t clock_ = 0;      ///< ns since boot, when it was last looked at
  std::int64_t range_began_ = 0;
  std::int64_t attempt_began_ = 0;
  const std::int64_t born_;
  std::uint32_t ranges_taken_ = 0;
  int looks_saved_ = 0;  ///< at stderr, since the last one
  std::int64_t next_look_at_rss_ = 0;
  detail::CalledIn process_{};
  std::uint64_t errors_ = 0;        ///< written to stderr so far
  std::uint64_t errors_shown_ = 0;  ///< of these, out, or given up
  std::span<char> errors_view_{};   ///< the file that stderr is
  int dozes_ = 0;
  int wasted_spins_ = 0;
  int shared_trips_ = 0;         ///< in a row: a host on our CPU waited for the task
  int move_after_ = kFirstMove;  ///< so many of them
  static constexpr int kFirstMove = 3;
  bool shares_cpu_ = false;          ///< of the last task: a host that slept is on our CPU...
  bool woke_host_ = false;           ///< ...or on another one
  std::uint32_t seen_in_ = kQueues;  ///< an entry, by who waited awake
  int spin_credit_ = 8;              ///< above 0: to wait without sleeping has paid lately
};

}  // namespace tine::work
