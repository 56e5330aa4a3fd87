// SPDX-License-Identifier: MIT
#include "work/pool_keeper.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>

#include "os/futex.h"
#include "os/io.h"
#include "os/life_word.h"
#include "os/message.h"
#include "os/pidfd.h"
#include "tine/launch.h"
#include "work/pool_order.h"
#include "work/pool_worker.h"
#include "work/worker_count.h"

namespace tine::work {

using namespace std::chrono_literals;

PoolKeeper::PoolKeeper(PoolMemory& memory, const PoolOptions& options, const Ends& ends)
    : memory_(memory),
      table_(memory.table()),
      options_(options),
      ends_(ends),
      seats_(memory.seats().size()) {
  // In the part of the memory that the host takes from: notes are short and rare.
  memory_.set_share(0, seats_.size() + 1);
}

int PoolKeeper::run() {
  os::register_life(table_.life);
  if (!watch_ends()) return 1;
  look();
  while (!is_over()) {
    auto due = next_due();
    // Said before the last look: what comes after it calls us.
    table_.keeper_asleep.store(due.time_since_epoch().count());
    due = std::min(due, next_due());
    if (table_.keeper_called.load() != 0) due = Clock::now();
    loop_.run_once(due);
    table_.keeper_asleep.store(0);
    // Who called may have died before it could write.
    if (table_.keeper_called.exchange(0) != 0) look();
  }
  return 0;
}

std::expected<void, Error> PoolKeeper::watch_ends() {
  const std::pair<int, void (PoolKeeper::*)()> ends[] = {{ends_.calls, &PoolKeeper::on_called},
                                                         {ends_.host, &PoolKeeper::on_host_gone},
                                                         {ends_.requests, &PoolKeeper::on_request}};
  for (const auto& [fd, handler] : ends) {
    auto watched = loop_.watch(fd, EPOLLIN, [this, handler] { (this->*handler)(); });
    if (!watched) return watched;
  }
  return {};
}

bool PoolKeeper::is_over() {
  if (host_gone_) return true;
  if (table_.closing.load() == Closing::no || alive() > 0) return false;
  take_handed_back();
  if (killing_) {
    cancel_queued();
    return true;
  }
  std::erase_if(delayed_, [&](const Delayed& each) { return !is_delayed(each.slot); });
  std::make_heap(delayed_.begin(), delayed_.end());
  trim_queues();
  return delayed_.empty() && memory_.backlog() == 0;
}

// ---- What it is called for ----

void PoolKeeper::on_called() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = os::read_retry(ends_.calls, &count, sizeof count);
  table_.keeper_called.store(0);
  look();
}

/// The host has ended, or become another program.
void PoolKeeper::on_host_gone() {
  loop_.unwatch(ends_.host);
  host_gone_ = true;
  for (Seat& seat : seats_) seat.process.kill();
  for (Seat& seat : seats_) {
    if (seat.process.is_alive()) [[maybe_unused]]
      const auto gone = seat.process.leave(errors_are_stuck_);
  }
}

/// A slot, with an eventfd.
void PoolKeeper::on_request() {
  auto message = os::receive_message(ends_.requests);
  if (!message || message->bytes.empty()) return loop_.unwatch(ends_.requests);
  std::uint32_t slot = kNoSlot;
  if (message->bytes.size() != sizeof slot || message->fds.empty()) return;
  std::memcpy(&slot, message->bytes.data(), sizeof slot);
  if (slot < memory_.slots().size()) watched_.emplace_back(slot, std::move(message->fds.front()));
  tell_watchers();
}

void PoolKeeper::look() {
  pass_on_errors();
  tell_watchers();
  if (table_.closing.load() != Closing::no) on_closing();
  take_handed_back();
  end_cancelled();
  retire_excess();
  see_to_mail();
  // One that was alone has not said that it looks for no more, and may be alone no longer.
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    if (seats_[i].process.is_alive() && is_busy(i)) table_.searching.remove(i);
  }
  see_to_backlog();
}

/// Without waiting for whoever reads our stderr. Gives when to try again, if that is needed.
PoolKeeper::Clock::time_point PoolKeeper::pass_on_errors() {
  constexpr auto kPause = 10ms;
  const auto now = Clock::now();
  errors_are_left_ = false;
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    const WorkerProcess& process = seats_[i].process;
    if (!process.is_alive()) continue;
    if (!seats_[i].process.pass_on_errors()) errors_are_left_ = true;
    PoolSeat& shared = memory_.seats()[i];
    const auto passed = static_cast<std::uint32_t>(process.errors_passed_on());
    if (shared.errors_passed.exchange(passed) != passed && shared.errors_awaited.load() != 0) {
      os::futex_wake_all(&shared.errors_passed);
    }
  }
  return errors_are_left_ ? now + kPause : os::deadline_after(std::chrono::nanoseconds::max());
}

void PoolKeeper::tell_watchers() {
  std::erase_if(watched_, [&](const auto& watched) {
    if (!memory_.slots()[watched.first].load().finished()) return false;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(watched.second.get(), &one, sizeof one);
    return true;
  });
}

// ---- Workers ----

std::size_t PoolKeeper::alive() const noexcept { return table_.alive.load(); }

std::size_t PoolKeeper::starting() const noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    if (!seats_[i].process.is_alive()) continue;
    if (memory_.seats()[i].stage.load() < PoolStage::working) ++count;
  }
  return count;
}

/// Past what has been taken or cancelled.
void PoolKeeper::trim_queues() noexcept {
  for (std::uint32_t i = 0; i < kQueues; ++i) {
    TaskQueue& queue = table_.queues[i];
    for (std::uint64_t head = queue.head.load(); head < queue.tail.load();) {
      const std::uint32_t slot = memory_.entry(i, head);
      if (slot != kNoSlot && memory_.slots()[slot].load().state == TaskState::queued) break;
      if (queue.head.compare_exchange_strong(head, head + 1)) ++head;
      memory_.tell_of_room();
    }
  }
}

/// As many more workers as there are tasks that nobody is about to take.
void PoolKeeper::see_to_backlog() {
  if (killing_ || table_.broken.load() != 0 || memory_.backlog() == 0) return;
  trim_queues();
  const std::uint64_t waiting = memory_.backlog();
  if (waiting == 0 || table_.searching.any()) return;
  if (table_.parked.any()) {
    // Nobody to be made: the answer would be to call us.
    [[maybe_unused]] const auto rung = memory_.wake_worker();
    return;
  }
  std::size_t wanted = waiting - std::min<std::uint64_t>(waiting, starting());
  for (std::size_t i = 0; i < seats_.size() && wanted > 0; ++i) {
    if (alive() >= table_.target.load()) return;
    if (seats_[i].process.is_alive()) continue;
    --wanted;
    if (auto started = start_worker(i); !started) {
      FailureNote note = failure_note(Cause::not_started, "no worker could be started");
      note.obstacle = started.error().to_string();
      if (alive() == 0) fail_queued(note, false);
      return;
    }
  }
}

std::expected<void, Error> PoolKeeper::start_worker(std::size_t place) {
  PoolSeat& seat = memory_.seats()[place];
  const std::uint64_t begun = seat.begun.load();
  const std::uint64_t done = seat.done.load();
  const std::uint64_t failed = seat.failed.load();
  new (&seat) PoolSeat;
  seat.begun.store(begun);
  seat.begun_then.store(begun);
  seats_[place].begun_at_start = begun;
  seat.done.store(done);
  seat.failed.store(failed);
  seats_[place].ended_slot = kNoSlot;
  seats_[place].retiring = false;
  seats_[place].asleep_since.reset();
  const WorkerProcess::How how{.grace = options_.grace,
                               .name = options_.name.empty() ? "tine-worker" : options_.name,
                               .threads = ThreadPolicy::allow,  // there are none
                               .core = options_.core_dump ? CoreDump::yes : CoreDump::no,
                               .memory = options_.memory};
  WorkerProcess& process = seats_[place].process;
  auto started = options_.start == StartMethod::spawn
                     ? spawn_worker(how, place)
                     : process.start(how, seat.crash, [&] { return worker_main(place); });
  if (!started) return started;
  table_.alive.fetch_add(1);
  seat.pid.store(process.pid());
  auto watched = loop_.watch(process.fd(), EPOLLIN, [this, place] { on_ended(place); });
  if (!watched) {
    process.kill();
    on_ended(place);
  }
  return watched;
}

std::expected<void, Error> PoolKeeper::spawn_worker(const WorkerProcess::How& how,
                                                    std::size_t place) {
  auto order = worker_order(options_, place);
  if (!order) return std::unexpected(order.error());
  const std::array fds{memory_.file(), ends_.calls};
  return seats_[place].process.spawn(how, std::move(*order), fds);
}

/// In the child.
int PoolKeeper::worker_main(std::size_t place) {
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    if (i != place) seats_[i].process.forget();
  }
  watched_.clear();
  ::close(ends_.host);
  ::close(ends_.requests);
  enter_worker(table_.target.load());
  PoolWorker worker(memory_, options_, place, ends_.calls);
  return worker.run();
}

void PoolKeeper::ring(std::size_t place) noexcept {
  PoolSeat& seat = memory_.seats()[place];
  table_.dozing.remove(place);
  if (table_.parked.remove(place)) table_.searching.add(place);
  seat.bell.fetch_add(1);
  os::futex_wake_all(os::futex_word(seat.bell));
}

/// Those that are asleep first.
void PoolKeeper::retire_excess() {
  const auto retiring = std::ranges::count_if(
      seats_, [](const Seat& seat) { return seat.process.is_alive() && seat.retiring; });
  const std::size_t staying = alive() - static_cast<std::size_t>(retiring);
  std::size_t excess = staying - std::min<std::size_t>(staying, table_.target.load());
  for (const bool asleep : {true, false}) {
    for (std::size_t i = seats_.size(); i-- > 0 && excess > 0;) {
      Seat& seat = seats_[i];
      if (!seat.process.is_alive() || seat.retiring) continue;
      if (asleep && !table_.parked.contains(i)) continue;
      seat.retiring = true;
      memory_.seats()[i].retire.store(1);
      ring(i);
      --excess;
    }
  }
}

// ---- Ending them ----

/// When there is something to do without being called.
PoolKeeper::Clock::time_point PoolKeeper::next_due() {
  const auto errors =
      errors_are_left_ ? pass_on_errors() : os::deadline_after(std::chrono::nanoseconds::max());
  return std::min({check_deadlines(), deliver_due(), check_memory(), errors});
}

/// A look now and then at those that are awake, and one at who has gone to sleep. Gives when the
/// next one is.
PoolKeeper::Clock::time_point PoolKeeper::check_memory() {
  auto next = os::deadline_after(std::chrono::nanoseconds::max());
  if (options_.memory == 0) return next;
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    Seat& seat = seats_[i];
    if (!seat.process.is_alive() || seat.process.ending() != Ending::none || seat.retiring)
      continue;
    if (!table_.parked.contains(i)) {
      seat.asleep_since.reset();
    } else if (!seat.asleep_since) {
      seat.asleep_since = Clock::now();
    }
    const MemoryWatch& watch = seat.process.memory();
    if (seat.asleep_since && watch.last_look() > *seat.asleep_since) continue;
    if (seat.process.exceeds_memory()) {
      too_large(i);
    } else {
      next = std::min(next, watch.next_look());
    }
  }
  return next;
}

/// Without a pause between TERM and KILL, in which it could go on growing.
void PoolKeeper::too_large(std::size_t place) {
  PoolSeat& shared = memory_.seats()[place];
  if (shared.stage.load() < PoolStage::working) {
    end_initializing(place, Ending::out_of_memory);
  } else if (!end_for(place, TaskState::running, Ending::out_of_memory)) {
    seats_[place].retiring = true;
    shared.retire.store(1);
    return ring(place);
  }
  seats_[place].process.kill();
}

/// What it ends for stands in the note of its death; it has no task.
void PoolKeeper::end_initializing(std::size_t place, Ending why) {
  seats_[place].process.end(why, memory_.seats()[place].crash);
  kill_after_grace(place);
}

/// Ends the worker of a task that is still in state `expected` when it can begin no other.
bool PoolKeeper::end_for(std::size_t place, TaskState expected, Ending why) {
  PoolSeat& seat = memory_.seats()[place];
  seat.hold.store(1);
  const std::uint32_t slot = seat.current.load();
  TaskSlot* const task = slot < memory_.slots().size() ? &memory_.slots()[slot] : nullptr;
  const auto number = static_cast<std::uint32_t>(place);
  bool same = task != nullptr && task->load().state == expected && task->load().seat == number;
  if (same && why == Ending::timed_out) {
    const std::int64_t deadline = seat.deadline.load();
    same = deadline != 0 && deadline <= Clock::now().time_since_epoch().count() &&
           task->change(expected, TaskState::ending, number, number);
  }
  if (!same) {
    seat.hold.store(0);
    os::futex_wake_all(os::futex_word(seat.hold));
    return false;
  }
  seats_[place].ended_slot = slot;
  seats_[place].process.end(why, seat.crash);
  kill_after_grace(place);
  return true;
}

void PoolKeeper::kill_after_grace(std::size_t place) {
  const pid_t pid = seats_[place].process.pid();
  loop_.at(Clock::now() + options_.grace, [this, place, pid] {
    WorkerProcess& process = seats_[place].process;
    if (!process.is_alive() || process.pid() != pid) return;
    process.kill();
    // What even that does not end within a second is left to the guardian.
    loop_.at(Clock::now() + 1s, [this, place, pid] {
      const WorkerProcess& still = seats_[place].process;
      if (still.is_alive() && still.pid() == pid) on_ended(place);
    });
  });
}

void PoolKeeper::end_cancelled() {
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    const WorkerProcess& process = seats_[i].process;
    if (!process.is_alive() || process.ending() != Ending::none) continue;
    const std::uint32_t slot = memory_.seats()[i].current.load();
    if (slot >= memory_.slots().size()) continue;
    const TaskWord word = memory_.slots()[slot].load();
    if (word.state == TaskState::cancelling && word.seat == i) {
      end_for(i, TaskState::cancelling, Ending::cancelled);
    }
  }
}

/// Gives when the next one is.
PoolKeeper::Clock::time_point PoolKeeper::check_deadlines() {
  auto next = os::deadline_after(std::chrono::nanoseconds::max());
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    const WorkerProcess& process = seats_[i].process;
    if (!process.is_alive() || process.ending() != Ending::none) continue;
    const std::int64_t deadline = memory_.seats()[i].deadline.load();
    if (deadline == 0) continue;
    const Clock::time_point due{std::chrono::nanoseconds(deadline)};
    if (due > Clock::now()) {
      next = std::min(next, due);
    } else if (memory_.seats()[i].stage.load() < PoolStage::working) {
      end_initializing(i, Ending::timed_out);
    } else {
      end_for(i, TaskState::running, Ending::timed_out);
    }
  }
  return next;
}

void PoolKeeper::on_closing() {
  if (table_.closing.load() == Closing::kill && !killing_) {
    killing_ = true;
    cancel_queued();
    for (Seat& seat : seats_) seat.process.kill();
  }
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    if (seats_[i].process.is_alive()) ring(i);
  }
}

void PoolKeeper::cancel_queued() {
  const std::size_t used = std::min<std::size_t>(table_.slots_used.load(), memory_.slots().size());
  for (TaskSlot& task : memory_.slots().first(used)) {
    memory_.drop_queued(task, TaskState::cancelled);
  }
  tell_watchers();
}

}  // namespace tine::work
