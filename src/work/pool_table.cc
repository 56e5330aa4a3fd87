// SPDX-License-Identifier: MIT
#include "work/pool_table.h"

#include "os/futex.h"
#include "os/life_word.h"

namespace tine::work {

std::optional<TaskWord> TaskSlot::change(TaskState from, TaskState to, std::uint32_t seat,
                                         std::optional<std::uint32_t> of) noexcept {
  std::uint32_t seen = word.load(std::memory_order_acquire);
  for (;;) {
    TaskWord now = TaskWord::unpack(seen);
    if (now.state != from || (of && now.seat != *of)) return std::nullopt;
    const TaskWord before = now;
    now.state = to;
    now.seat = seat;
    if (now.finished()) now.awaited = false;
    if (word.compare_exchange_weak(seen, now.pack())) return before;
  }
}

std::optional<TaskWord> TaskSlot::conclude(TaskState from, TaskState to, std::uint32_t seat,
                                           std::optional<std::uint32_t> of) noexcept {
  const auto before = change(from, to, seat, of);
  if (before && before->awaited) os::futex_wake_all(os::futex_word(word));
  return before;
}

/// Running out of memory counts among all failures, unless it has a limit of its own.
bool TaskSlot::count_failure(Cause cause, bool crashed) noexcept {
  const bool may = (rules & kMayRetry) != 0;
  if (attempts == 0) return true;  // it was taken, and no more
  if (!may || cause == Cause::cancelled) return false;
  const bool limits_memory = again.memory_retries != kNoLimit;
  if (limits_memory && cause == Cause::out_of_memory) {
    return ++again.memory_failures <= again.memory_retries;
  }
  if (crashed) ++crashes;
  const int others = attempts - (limits_memory ? again.memory_failures : 0);
  return others <= retries && (crash_retries == kNoLimit || crashes <= crash_retries);
}

}  // namespace tine::work
