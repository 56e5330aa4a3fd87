// SPDX-License-Identifier: MIT
#pragma once

/// The worker processes of a map, lazy or not: made, watched, ended when their time or memory is
/// up, and seen off. What they do and what their ends mean is their owner's affair. Owner: the
/// processes; when this goes they have gone. Threads: one. Everything happens in handlers of
/// loop().

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <optional>

#include "os/event_loop.h"
#include "os/shared_region.h"
#include "tine/map.h"
#include "work/worker_seat.h"

namespace tine::work {

class Crew {
 public:
  using Ending = WorkerSeat::Ending;

  struct Owner {
    /// What a worker is running, as far as it says so: an item, or whatever counts as one.
    std::function<std::optional<std::uint32_t>(const WorkerSeat&)> current;
    /// A worker has ended, and left its seat.
    std::function<void(WorkerSeat&, const std::expected<Finished, Error>&)> on_ended;
  };

  Crew(const MapOptions& options, Owner owner) : options_(options), owner_(std::move(owner)) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  /// Without grace: its owner has no more use for them, or an exception is on its way.
  ~Crew();

  void add_seat(WorkerSlot& slot, os::SharedPart arena);
  /// Begins to look after the workers: stderr is passed on, and limits of memory are watched.
  void look_after_them();
  std::expected<void, Error> start(WorkerSeat& seat, const std::function<int()>& main);

  [[nodiscard]] std::deque<WorkerSeat>& seats() noexcept { return seats_; }
  [[nodiscard]] const std::deque<WorkerSeat>& seats() const noexcept { return seats_; }
  [[nodiscard]] std::size_t alive() const noexcept;
  [[nodiscard]] os::EventLoop& loop() noexcept { return loop_; }

  /// TERM now, KILL after the grace, and a second later it is left to the guardian.
  void end(WorkerSeat& seat, Ending why);
  void end_all(Ending why);

  /// A worker has died without running anything; `progress` is how much all of them have done.
  /// Whether that has happened so often, with no progress meanwhile, that there is no sense in
  /// more.
  [[nodiscard]] bool is_hopeless(const WorkerSeat& seat, std::uint64_t progress) noexcept;

 private:
  using Clock = std::chrono::steady_clock;

  void check_time(WorkerSeat& seat);
  void check_time_at(Clock::time_point when, WorkerSeat& seat);
  void see_off(WorkerSeat& seat);

  const MapOptions& options_;
  Owner owner_;
  os::EventLoop loop_{};
  std::deque<WorkerSeat> seats_{};
  bool errors_are_stuck_ = false;  ///< nobody reads our stderr
  int idle_deaths_ = 0;
  std::uint64_t progress_at_death_ = 0;
};

/// Whether it has not come to the end of the user's initializer, or to its beginning.
[[nodiscard]] bool was_initializing(const WorkerSeat& seat) noexcept;
/// `why`, as the outcome of all items.
[[nodiscard]] Failure initializer_failure(Failure why);

}  // namespace tine::work
