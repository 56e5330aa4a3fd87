// SPDX-License-Identifier: MIT
#include "work/crew.h"

#include <sys/epoll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "os/pidfd.h"

namespace tine::work {

using namespace std::chrono_literals;

Crew::~Crew() {
  for (WorkerSeat& seat : seats_) seat.kill();
  for (WorkerSeat& seat : seats_) {
    if (!seat.is_alive()) continue;
    [[maybe_unused]] const auto gone = seat.leave(errors_are_stuck_);
  }
}

void Crew::add_seat(WorkerSlot& slot, os::SharedPart arena) {
  seats_.emplace_back(seats_.size(), slot, arena);
}

void Crew::look_after_them() {
  constexpr auto kBetweenLooks = 100ms;
  constexpr auto kUntilTaken = 10ms;
  bool all_passed_on = true;
  for (WorkerSeat& seat : seats_) {
    if (!seat.pass_on_errors()) all_passed_on = false;
    if (seat.is_too_large()) end(seat, Ending::out_of_memory);
  }
  loop_.at(Clock::now() + (all_passed_on ? kBetweenLooks : kUntilTaken),
           [this] { look_after_them(); });
}

std::expected<void, Error> Crew::start(WorkerSeat& seat, const std::function<int()>& main) {
  if (auto started = seat.start(options_, main); !started) return started;
  auto watched = loop_.watch(seat.fd(), EPOLLIN, [this, &seat] { see_off(seat); });
  if (!watched) {
    seat.kill();
    [[maybe_unused]] const auto gone = seat.leave(errors_are_stuck_);
    return watched;
  }
  if (options_.timeout.count() > 0) check_time_at(os::deadline_after(options_.timeout), seat);
  return {};
}

std::size_t Crew::alive() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(seats_, &WorkerSeat::is_alive));
}

void Crew::see_off(WorkerSeat& seat) {
  loop_.unwatch(seat.fd());
  const auto finished = seat.leave(errors_are_stuck_);
  owner_.on_ended(seat, finished);
}

/// Ends with this worker: the one that takes over its seat has looks of its own.
void Crew::check_time_at(Clock::time_point when, WorkerSeat& seat) {
  loop_.at(when, [this, &seat, pid = seat.pid()] {
    if (seat.is_alive() && seat.pid() == pid) check_time(seat);
  });
}

void Crew::check_time(WorkerSeat& seat) {
  if (seat.ending() != Ending::none) return;
  const auto current = owner_.current(seat);
  const std::chrono::nanoseconds began(seat.slot().item_started.load(std::memory_order_acquire));
  const auto now = Clock::now();
  auto due = now + options_.timeout;
  if (current && owner_.current(seat) == current) {
    due = Clock::time_point(began) + options_.timeout;
    // One that ended by itself while this process was busy (with another's backtrace) is not late.
    if (due <= now && os::has_ended(seat.fd())) return;
    if (due <= now) return end(seat, Ending::timed_out);
  }
  check_time_at(due, seat);
}

void Crew::end(WorkerSeat& seat, Ending why) {
  if (!seat.is_alive() || seat.ending() != Ending::none) return;
  seat.end(why, owner_.current(seat));
  const auto still_here = [&seat, pid = seat.pid()] {
    return seat.is_alive() && seat.pid() == pid;
  };
  loop_.at(Clock::now() + options_.grace, [this, &seat, still_here] {
    if (!still_here()) return;
    seat.kill();
    loop_.at(Clock::now() + 1s, [this, &seat, still_here] {
      if (still_here()) see_off(seat);
    });
  });
}

void Crew::end_all(Ending why) {
  for (WorkerSeat& seat : seats_) end(seat, why);
}

/// One may be killed from outside; one after the other, with nobody coming any further, will not
/// be.
bool Crew::is_hopeless(const WorkerSeat& seat, std::uint64_t progress) noexcept {
  constexpr int kMost = 16;
  constexpr int kMostInInitializer = 5;
  if (std::exchange(progress_at_death_, progress) != progress) idle_deaths_ = 0;
  ++idle_deaths_;
  return idle_deaths_ >= (was_initializing(seat) ? kMostInInitializer : kMost);
}

bool was_initializing(const WorkerSeat& seat) noexcept {
  const auto stage = seat.slot().stage.load(std::memory_order_acquire);
  return stage == WorkerStage::starting || stage == WorkerStage::initializing;
}

Failure initializer_failure(Failure why) {
  why.message = "the initializer of a worker failed" +
                (why.message.empty() ? std::string() : ": " + why.message);
  return why;
}

}  // namespace tine::work
