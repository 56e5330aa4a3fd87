// SPDX-License-Identifier: MIT

/// What the keeper of a pool does when a worker has ended: whom it blames, and what becomes of
/// that.

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "os/futex.h"
#include "os/life_word.h"
#include "tine/codec.h"
#include "work/pool_keeper.h"

namespace tine::work {

namespace {

constexpr int kMostIdleDeaths = 16;
constexpr std::uint64_t kLargestRange = 64;

}  // namespace

void PoolKeeper::on_ended(std::size_t place) {
  // It pushes nothing any more, and its seat is still taken.
  take_handed_back();
  Seat& seat = seats_[place];
  PoolSeat& shared = memory_.seats()[place];
  loop_.unwatch(seat.process.fd());
  const auto finished = seat.process.leave(errors_are_stuck_);
  seat.was_parked = table_.parked.contains(place);
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
  // It may have chosen somebody to be woken, and not have come to it.
  for (std::size_t i = 0; !in_order && i < seats_.size(); ++i) {
    if (seats_[i].process.is_alive() && !is_busy(i)) ring(i);
  }
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
  const bool has_it = word.state == TaskState::running || word.state == TaskState::ending ||
                      word.state == TaskState::cancelling;
  if (has_it) seat.begun.store(seat.begun_then.load());  // it may not have come to it
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
    default:
      // It may have died before it woke whoever waits for the outcome.
      os::futex_wake_all(os::futex_word(task.word));
      return false;
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
  const auto at = memory_.take_bytes(slot, bytes.size());
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
    return break_pool(note ? std::move(*note) : failure_note(Cause::threw, ""));
  }
  if (stage == PoolStage::initializing) return break_pool(death_note(place, finished));
  // One that has worked, or slept, was well; whoever killed it may kill any number of them.
  if (seats_[place].was_parked || seat.begun.load() != seats_[place].begun_at_start) return;
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
  FailureNote note = failure_note(Cause::not_started, "no worker could be started");
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
