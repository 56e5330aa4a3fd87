// SPDX-License-Identifier: MIT

/// What a worker of a pool does about another attempt at a task that failed: it asks the rules of
/// the task, which are the program's, and hands it to the keeper.

#include <chrono>
#include <utility>

#include "tine/codec.h"
#include "work/crash_report.h"
#include "work/pool_worker.h"

namespace tine::work {

using detail::now_ns;

/// What the task's rules say of a failure: whether to try again, and from when on. What they throw
/// takes its place. They may crash: then the keeper knows that there is no use in asking again.
bool PoolWorker::decide(TaskSlot& task, FailureNote& note) {
  task.again.not_before = 0;
  if (!task.has_rules()) return true;
  seat_.deciding.store(1);
  bool again = true;
  try {
    if (task.again.retry_if != nullptr) {
      Failure failure = note.to_failure();
      failure.attempts = task.attempts;
      failure.subject = options_.name.empty() ? "a task" : options_.name;
      again = detail::here(task.again.retry_if)(failure);
    }
    if (again && task.again.retry_delay != nullptr) {
      const auto pause = detail::here(task.again.retry_delay)(task.attempts + 1).count();
      if (pause > 0) task.again.not_before = deadline_after(now_ns(), pause);
    }
  } catch (...) {
    again = false;
    note = note_in_flight();
  }
  seat_.deciding.store(0);
  return again;
}

/// The attempt before has ended by a death, and nobody has asked what that means. False: there is
/// none now.
bool PoolWorker::ask_about_last(std::uint32_t slot, TaskSlot& task) {
  FailureNote note;
  note.cause = Cause::out_of_memory;
  if (task.kind == ResultKind::failure) {
    if (auto read = decode<FailureNote>(memory_.result(task))) note = std::move(*read);
  }
  memory_.free_bytes(slot, task.result);
  task.result = {};
  task.kind = ResultKind::value;
  task.rules &= static_cast<std::uint8_t>(~kUnasked);
  if (!decide(task, note)) {
    task.kind = ResultKind::out_of_memory;
    keep_note(slot, task, std::move(note));
    seat_.failed.store(seat_.failed.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    conclude(task, TaskState::failed);
    return false;
  }
  if (task.again.not_before > 0) {
    hand_back(slot, task);
    return false;
  }
  begin_attempt(task);
  return true;
}

/// The keeper finds it a worker, another one if there can be one.
void PoolWorker::hand_back(std::uint32_t slot, TaskSlot& task) noexcept {
  if (range_size() == 0) table_.searching.add(place_);
  task.kind = ResultKind::value;
  if (!memory_.say_delayed(task, place_)) {
    if (!task.change(TaskState::cancelling, TaskState::cancelled, place_, place_)) {
      wait_to_be_ended(task);
    }
    return;
  }
  passed(PoolStep::said_delayed);
  memory_.push_handed_back(slot);
  passed(PoolStep::handed_back);
  call_keeper();
}

}  // namespace tine::work
