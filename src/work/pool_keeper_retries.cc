// SPDX-License-Identifier: MIT

/// What the keeper of a pool does with tasks that are to be tried again: it takes them from the
/// workers where they failed, keeps them for as long as they are to wait, and finds them others.

#include <algorithm>
#include <cstdint>
#include <optional>

#include "os/pidfd.h"
#include "work/pool_keeper.h"

namespace tine::work {

using namespace std::chrono_literals;

bool PoolKeeper::is_delayed(std::uint32_t slot) const noexcept {
  const TaskWord word = memory_.slots()[slot].load();
  return word.state == TaskState::delayed && word.seat == kKeeperSeat;
}

bool PoolKeeper::is_busy(std::size_t place) const noexcept {
  const std::uint32_t slot = memory_.seats()[place].current.load();
  if (slot >= memory_.slots().size()) return false;
  const TaskWord word = memory_.slots()[slot].load();
  return word.seat == place && word.state != TaskState::queued && !word.idle();
}

void PoolKeeper::take_handed_back() {
  std::uint32_t slot = table_.handed_back.exchange(kNoSlot);
  for (std::size_t i = 0; i < memory_.slots().size() && slot < memory_.slots().size(); ++i) {
    const std::uint32_t below = memory_.slots()[slot].again.below.load();
    take_delayed(slot);
    slot = below;
  }
}

/// From the worker that has handed it back. Until then nobody but us gives its slot free: it may be
/// on the stack only once.
void PoolKeeper::take_delayed(std::uint32_t slot) {
  TaskSlot& task = memory_.slots()[slot];
  const TaskWord word = task.load();
  if (word.state == TaskState::cancelling) {
    task.change(TaskState::cancelling, TaskState::cancelled, word.seat, word.seat);
    return;
  }
  if (word.state != TaskState::delayed || word.seat == kKeeperSeat) return;
  const std::int64_t not_before = task.again.not_before;
  if (!task.change(TaskState::delayed, TaskState::delayed, kKeeperSeat, word.seat)) {
    return take_delayed(slot);  // a cancel has come between
  }
  if (drop_if_over(task)) return;
  const bool is_there = word.seat < seats_.size() && seats_[word.seat].process.is_alive();
  const std::uint32_t not_to = is_there ? word.seat : kKeeperSeat;
  const Clock::time_point due{std::chrono::nanoseconds(not_before)};
  if (due <= Clock::now()) return deliver(slot, not_to);
  delayed_.push_back({due, slot, not_to});
  std::push_heap(delayed_.begin(), delayed_.end());
}

/// Gives when the next one is.
PoolKeeper::Clock::time_point PoolKeeper::deliver_due() {
  while (!delayed_.empty() && delayed_.front().due <= Clock::now()) {
    const Delayed next = delayed_.front();
    std::pop_heap(delayed_.begin(), delayed_.end());
    delayed_.pop_back();
    // It may have been cancelled, and its slot be another's, who has another time.
    const std::int64_t due = memory_.slots()[next.slot].again.not_before;
    if (is_delayed(next.slot) && due <= next.due.time_since_epoch().count()) {
      deliver(next.slot, next.not_to);
      see_to_backlog();
    }
  }
  return delayed_.empty() ? os::deadline_after(std::chrono::nanoseconds::max())
                          : delayed_.front().due;
}

/// What failed at one worker may be fine at another.
void PoolKeeper::deliver(std::uint32_t slot, std::uint32_t not_to) {
  TaskSlot& task = memory_.slots()[slot];
  if (!task.change(TaskState::delayed, TaskState::queued, 0, kKeeperSeat)) return;
  if (!mail_to_another(slot, not_to)) put_returned(slot);
}

/// There is no other attempt in a pool that has failed, or is being killed.
bool PoolKeeper::drop_if_over(TaskSlot& task) {
  const bool broken = table_.broken.load() != 0;
  if (!killing_ && !broken) return false;
  if (!killing_) task.kind = ResultKind::broken;
  return memory_.drop_queued(task, killing_ ? TaskState::cancelled : TaskState::failed);
}

void PoolKeeper::put_returned(std::uint32_t slot) {
  if (memory_.put(kReturned, slot)) return;
  // Full of tasks that nobody has taken yet. Later, then.
  TaskSlot& task = memory_.slots()[slot];
  if (!task.change(TaskState::queued, TaskState::delayed, kKeeperSeat)) return;
  const auto due = Clock::now() + 1ms;
  task.again.not_before = due.time_since_epoch().count();
  delayed_.push_back({due, slot, kKeeperSeat});
  std::push_heap(delayed_.begin(), delayed_.end());
}

/// One that has nothing to do, or a new one.
std::optional<std::size_t> PoolKeeper::another_than(std::uint32_t not_to) {
  std::optional<std::size_t> unused;
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    const Seat& seat = seats_[i];
    if (i == not_to && seat.process.is_alive()) continue;
    if (!seat.process.is_alive()) {
      if (!unused) unused = i;
      continue;
    }
    if (seat.retiring || seat.process.ending() != Ending::none || is_busy(i)) continue;
    if (memory_.seats()[i].mail.load() == kNoSlot) return i;
  }
  if (!unused || alive() >= table_.target.load() || !start_worker(*unused)) return std::nullopt;
  return unused;
}

bool PoolKeeper::mail_to_another(std::uint32_t slot, std::uint32_t not_to) {
  if (not_to >= seats_.size() || table_.closing.load() != Closing::no) return false;
  const auto to = another_than(not_to);
  if (!to) return false;
  memory_.seats()[*to].mail.store(slot);
  ring(*to);
  if (is_busy(*to)) take_back_mail(*to);
  return true;
}

/// Whoever is free may have it.
void PoolKeeper::take_back_mail(std::size_t place) {
  const std::uint32_t slot = memory_.seats()[place].mail.exchange(kNoSlot);
  if (slot >= memory_.slots().size()) return;
  if (memory_.slots()[slot].load().state == TaskState::queued) put_returned(slot);
}

void PoolKeeper::see_to_mail() {
  for (std::size_t i = 0; i < seats_.size(); ++i) {
    const PoolSeat& seat = memory_.seats()[i];
    if (!seats_[i].process.is_alive() || seat.mail.load() == kNoSlot) continue;
    if (is_busy(i) && seat.current.load() != seat.mail.load()) take_back_mail(i);
  }
}

}  // namespace tine::work
