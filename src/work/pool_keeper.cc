// SPDX-License-Identifier: MIT
#include "work/pool_keeper.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>

#include "os/io.h"
#include "os/life_word.h"
#include "os/pidfd.h"
#include "tine/launch.h"
#include "work/pool_order.h"
#include "work/pool_worker.h"
#include "work/worker_count.h"

namespace tine::work {

using namespace std::chrono_literals;

namespace {

constexpr int kMostIdleDeaths = 16;
constexpr std::uint64_t kLargestRange = 64;

FailureNote note_of(Cause cause, std::string message) {
  FailureNote note;
  note.cause = cause;
  note.message = std::move(message);
  return note;
}

}  // namespace

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
      const auto gone = seat.process.leave();
  }
}

/// A slot, with an eventfd.
void PoolKeeper::on_request() {
  std::uint32_t slot = kNoSlot;
  iovec bytes{&slot, sizeof slot};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(ends_.requests, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got == 0) return loop_.unwatch(ends_.requests);
  const cmsghdr* const head = CMSG_FIRSTHDR(&message);
  if (got < 0 || head == nullptr || head->cmsg_type != SCM_RIGHTS) return;
  int number = -1;
  std::memcpy(&number, CMSG_DATA(head), sizeof number);
  Fd fd{number};
  if (slot < memory_.slots().size()) watched_.emplace_back(slot, std::move(fd));
  tell_watchers();
}

void PoolKeeper::look() {
  for (Seat& seat : seats_) seat.process.pass_on_errors();
  tell_watchers();
  if (table_.closing.load() != Closing::no) on_closing();
  take_handed_back();
  end_cancelled();
  retire_excess();
  see_to_mail();
  see_to_backlog();
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
      FailureNote note = note_of(Cause::not_started, "no worker could be started");
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
  return std::min({check_deadlines(), deliver_due(), check_memory()});
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

// ---- When they have ended ----

void PoolKeeper::on_ended(std::size_t place) {
  // It pushes nothing any more, and its seat is still taken.
  take_handed_back();
  Seat& seat = seats_[place];
  PoolSeat& shared = memory_.seats()[place];
  loop_.unwatch(seat.process.fd());
  const auto finished = seat.process.leave();
  for (SeatSet* const set : {&table_.searching, &table_.parked, &table_.dozing}) set->remove(place);
  table_.worker_cpu[place].store(0);
  shared.pid.store(0);
  table_.alive.fetch_sub(1);
  const bool in_order = shared.stage.load() == PoolStage::ended;
  const bool meant = killing_ || seat.process.ending() != Ending::none;
  // Counted before anybody learns of it by his task.
  if (!in_order && !meant) table_.deaths.fetch_add(1);
  const bool blamed = conclude_current(place, finished);
  take_back_mail(place);
  give_back_range(shared);
  judge_end(place, finished, blamed);
  tell_watchers();
  see_to_backlog();
}

/// Whether a task has to do with its end.
bool PoolKeeper::conclude_current(std::size_t place,
                                  const std::expected<Finished, Error>& finished) {
  PoolSeat& seat = memory_.seats()[place];
  const std::uint32_t slot = seat.current.exchange(kNoSlot);
  if (slot >= memory_.slots().size()) return false;
  TaskSlot& task = memory_.slots()[slot];
  const TaskWord word = task.load();
  const auto number = static_cast<std::uint32_t>(place);
  if (word.seat != number) return false;
  switch (word.state) {
    case TaskState::running:
      // Taken while it was held up: it has not begun.
      if (seats_[place].process.ending() != Ending::none && slot != seats_[place].ended_slot) {
        queue_again(task, word.state, number);
        return true;
      }
      [[fallthrough]];
    case TaskState::ending: blame(place, task, word.state, finished); return true;
    case TaskState::delayed:  // before it could push it
      take_delayed(slot);
      return true;
    case TaskState::cancelling:
      if (seat.allocating.load() != 0) memory_.free_all_but(slot, task.arguments);
      task.result = {};
      task.change(TaskState::cancelling, TaskState::cancelled, number);
      return true;
    default: return false;
  }
}

void PoolKeeper::queue_again(TaskSlot& task, TaskState state, std::uint32_t place) {
  const auto slot = static_cast<std::uint32_t>(&task - memory_.slots().data());
  table_.returned.fetch_add(1);
  if (task.change(state, TaskState::queued, 0, place)) {
    if (!drop_if_over(task)) put_returned(slot);
    return;
  }
  table_.returned.fetch_sub(1);
  task.change(TaskState::cancelling, TaskState::cancelled, place, place);
}

void PoolKeeper::blame(std::size_t place, TaskSlot& task, TaskState state,
                       const std::expected<Finished, Error>& finished) {
  const auto number = static_cast<std::uint32_t>(place);
  const auto slot = static_cast<std::uint32_t>(&task - memory_.slots().data());
  if (memory_.seats()[place].allocating.load() != 0) memory_.free_all_but(slot, task.arguments);
  task.result = {};
  FailureNote note = death_note(place, finished);
  const bool may_retry = !killing_ && table_.broken.load() == 0 &&
                         memory_.seats()[place].deciding.load() == 0 &&
                         task.count_failure(note.cause, true);
  if (may_retry) {
    // Its rules are the program's: the next worker asks them.
    if (task.attempts > 0 && task.has_rules()) {
      task.rules |= kUnasked;
      put_note(task, std::move(note));
    }
    return queue_again(task, state, number);
  }
  table_.died.fetch_add(1);
  if (killing_) {
    task.conclude(state, TaskState::cancelled, number, number);
    return;
  }
  put_note(task, std::move(note));
  // A cancel may have come first.
  if (!task.conclude(state, TaskState::failed, number, number)) {
    task.change(TaskState::cancelling, TaskState::cancelled, number, number);
  }
}

void PoolKeeper::put_note(TaskSlot& task, FailureNote note) {
  const auto slot = static_cast<std::uint32_t>(&task - memory_.slots().data());
  const auto bytes = encoded_note(std::move(note), std::size_t{1} << 20);
  task.kind = ResultKind::out_of_memory;
  memory_.free_bytes(slot, task.result);
  task.result = {};
  const auto at = memory_.take_bytes(slot, bytes.size(), TaskSlot::kNear);
  if (!at) return;
  task.result = *at;
  std::memcpy(memory_.result(task).data(), bytes.data(), bytes.size());
  task.kind = ResultKind::failure;
}

FailureNote PoolKeeper::death_note(std::size_t place,
                                   const std::expected<Finished, Error>& finished) const {
  PoolSeat& seat = memory_.seats()[place];
  const WorkerProcess& process = seats_[place].process;
  FailureNote note;
  note.set_end(finished);
  note.stderr_tail = process.errors_since(seat.errors_at_task.load());
  note.elapsed = note.usage.wall;
  if (finished) note.cause = finished->status.signal() ? Cause::signaled : Cause::exited;
  if (process.ending() == Ending::timed_out) note.cause = Cause::timed_out;
  if (process.ending() == Ending::cancelled) note.cause = Cause::cancelled;
  if (seat.stage.load() == PoolStage::out_of_memory) note.cause = Cause::out_of_memory;
  if (process.ending() == Ending::out_of_memory) {
    note.cause = Cause::out_of_memory;
    note.message = kMemoryExceeded;
  }
  if (seat.deciding.load() != 0) note.message = "while it decided about another attempt";
  if (note.cause == Cause::exited) note.message = "it ended by exit instead of returning";
  std::optional<RawBacktrace> where = process.where();
  if (note.cause == Cause::signaled) where = read_crash(seat.crash);
  if (note.cause == Cause::timed_out && !where) note.message = process.no_answer();
  if (where) note.frames.assign(where->addresses().begin(), where->addresses().end());
  return note;
}

/// What it had taken and not begun is found again at the front.
void PoolKeeper::give_back_range(PoolSeat& seat) noexcept {
  const std::uint64_t next = seat.range_next.exchange(0);
  const std::uint64_t end = seat.range_end.exchange(0);
  const std::uint32_t index = seat.range_queue.load();
  if (end <= next || end - next > kLargestRange || index >= kQueues) return;
  TaskQueue& queue = table_.queues[index];
  std::uint64_t head = queue.head.load();
  while (head > next && !queue.head.compare_exchange_weak(head, next)) {
  }
}

/// Ends that are nobody's fault, of the initializer, or of nobody knows what.
void PoolKeeper::judge_end(std::size_t place, const std::expected<Finished, Error>& finished,
                           bool blamed) {
  PoolSeat& seat = memory_.seats()[place];
  const PoolStage stage = seat.stage.load();
  if (stage == PoolStage::ended) return;
  const bool ended_by_us = seats_[place].process.ending() != Ending::none;
  if (ended_by_us && stage == PoolStage::initializing && !killing_) {
    return break_pool(death_note(place, finished));
  }
  if (blamed || killing_ || ended_by_us) return;
  if (stage == PoolStage::init_failed) {
    const std::size_t size = std::min<std::size_t>(seat.note_size, seat.note.size());
    auto note = decode<FailureNote>(std::span(seat.note).first(size));
    return break_pool(note ? std::move(*note) : note_of(Cause::threw, ""));
  }
  if (stage == PoolStage::initializing) return break_pool(death_note(place, finished));
  std::uint64_t begun = 0;
  for (const PoolSeat& each : memory_.seats()) begun += each.begun.load();
  idle_deaths_ = begun == begun_at_idle_death_ ? idle_deaths_ + 1 : 1;
  begun_at_idle_death_ = begun;
  if (idle_deaths_ < kMostIdleDeaths) return;
  FailureNote note = death_note(place, finished);
  note.message = "workers die one after the other without a task";
  fail_queued(note, true);
}

void PoolKeeper::refuse(const Error& why) {
  FailureNote note = note_of(Cause::not_started, "no worker could be started");
  note.obstacle = why.to_string();
  fail_queued(note, true);
}

void PoolKeeper::break_pool(FailureNote note) {
  note.message = "the initializer of a worker failed" +
                 (note.message.empty() ? std::string() : ": " + note.message);
  fail_queued(note, true);
}

/// `for_ever`: and all tasks to come.
void PoolKeeper::fail_queued(const FailureNote& note, bool for_ever) {
  if (for_ever) {
    const auto bytes = encoded_note(note, table_.broken_note.size());
    std::memcpy(table_.broken_note.data(), bytes.data(), bytes.size());
    table_.broken_size = bytes.size();
    table_.broken.store(1);
  }
  const std::size_t used = std::min<std::size_t>(table_.slots_used.load(), memory_.slots().size());
  for (TaskSlot& task : memory_.slots().first(used)) {
    const TaskState state = task.load().state;
    if (state != TaskState::queued && !(state == TaskState::delayed && for_ever)) continue;
    if (!for_ever) {
      // Nobody is there who could take it meanwhile.
      put_note(task, note);
    } else {
      task.kind = ResultKind::broken;
    }
    memory_.drop_queued(task, TaskState::failed);
  }
  // Who waits for room has it, or learns that there is no use in waiting.
  table_.room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_.room));
  tell_watchers();
}

}  // namespace tine::work
