// SPDX-License-Identifier: MIT
#pragma once

/// The keeper of a pool: a process without threads that runs nothing of the user's. It makes the
/// workers, replaces those that die, blames the task that one was running, and ends those whose
/// time is up or whose task was cancelled. It acts when called (an eventfd), when a worker ends,
/// and at deadlines; tasks come and go without it. Owner: all workers. When it is gone, its
/// guardian ends them.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <optional>
#include <utility>
#include <vector>

#include "os/event_loop.h"
#include "tine/fd.h"
#include "tine/pool.h"
#include "work/failure_note.h"
#include "work/pool_memory.h"
#include "work/worker_process.h"

namespace tine::work {

class PoolKeeper {
 public:
  struct Ends {
    int calls;     ///< an eventfd: look at the table
    int host;      ///< a pipe whose end says that the host is gone
    int requests;  ///< a socket: eventfds, and the slots whose ends they are to tell
  };

  PoolKeeper(PoolMemory& memory, const PoolOptions& options, const Ends& ends);
  PoolKeeper(PoolKeeper&&) = delete;

  /// Before run(): no worker can be made, and why.
  void refuse(const Error& why);
  /// The whole life of the process. Gives its exit code.
  int run();

 private:
  using Clock = std::chrono::steady_clock;
  using Ending = WorkerProcess::Ending;

  struct Seat {
    WorkerProcess process{};
    std::uint32_t ended_slot = kNoSlot;  ///< whose task it is ended for
    bool retiring = false;
    bool was_parked = false;                          ///< when it ended
    std::uint64_t begun_at_start = 0;                 ///< tasks, by those before it
    std::optional<Clock::time_point> asleep_since{};  ///< as far as looks at its memory know
  };
  struct Delayed {
    Clock::time_point due;
    std::uint32_t slot;
    std::uint32_t not_to;
    [[nodiscard]] bool operator<(const Delayed& other) const { return due > other.due; }
  };

  std::expected<void, Error> watch_ends();
  void on_called();
  void on_request();
  void on_host_gone();
  void look();
  Clock::time_point pass_on_errors();
  [[nodiscard]] bool is_over();

  // Workers.
  void see_to_backlog();
  std::expected<void, Error> start_worker(std::size_t place);
  std::expected<void, Error> spawn_worker(const WorkerProcess::How& how, std::size_t place);
  int worker_main(std::size_t place);
  [[nodiscard]] std::size_t alive() const noexcept;
  [[nodiscard]] std::size_t starting() const noexcept;
  void ring(std::size_t place) noexcept;
  void retire_excess();
  void trim_queues() noexcept;

  // Tasks that are to be tried again.
  void take_handed_back();
  void take_delayed(std::uint32_t slot);
  Clock::time_point deliver_due();
  void deliver(std::uint32_t slot, std::uint32_t not_to);
  void put_returned(std::uint32_t slot);
  bool drop_if_over(TaskSlot& task);
  bool mail_to_another(std::uint32_t slot, std::uint32_t not_to);
  [[nodiscard]] std::optional<std::size_t> another_than(std::uint32_t not_to);
  void take_back_mail(std::size_t place);
  void see_to_mail();
  [[nodiscard]] bool is_delayed(std::uint32_t slot) const noexcept;
  [[nodiscard]] bool is_busy(std::size_t place) const noexcept;

  // Ending them.
  void end_cancelled();
  Clock::time_point next_due();
  Clock::time_point check_deadlines();
  Clock::time_point check_memory();
  void too_large(std::size_t place);
  void end_initializing(std::size_t place, Ending why);
  bool end_for(std::size_t place, TaskState expected, Ending why);
  void kill_after_grace(std::size_t place);
  void on_closing();
  void cancel_queued();

  // When they have ended.
  void on_ended(std::size_t place);
  bool conclude_current(std::size_t place, const std::expected<Finished, Error>& finished);
  void blame(std::size_t place, TaskSlot& task, TaskState state,
             const std::expected<Finished, Error>& finished);
  void queue_again(TaskSlot& task, TaskState state, std::uint32_t place);
  void give_back_range(PoolSeat& seat) noexcept;
  [[nodiscard]] FailureNote death_note(std::size_t place,
                                       const std::expected<Finished, Error>& finished) const;
  void put_note(TaskSlot& task, FailureNote note);
  void judge_end(std::size_t place, const std::expected<Finished, Error>& finished, bool blamed);
  void break_pool(FailureNote note);
  void fail_queued(const FailureNote& note, bool for_ever);
  void tell_watchers();

  PoolMemory& memory_;
  PoolTable& table_;
  const PoolOptions& options_;
  const Ends ends_;
  os::EventLoop loop_{};
  std::deque<Seat> seats_{};
  std::vector<std::pair<std::uint32_t, Fd>> watched_{};
  std::vector<Delayed> delayed_{};  ///< a heap: the next one first
  std::uint64_t begun_at_idle_death_ = 0;
  int idle_deaths_ = 0;
  bool host_gone_ = false;
  bool killing_ = false;
  bool errors_are_left_ = false;   ///< to be passed on, when our stderr takes them
  bool errors_are_stuck_ = false;  ///< nobody reads it
};

}  // namespace tine::work
