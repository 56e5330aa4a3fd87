// SPDX-License-Identifier: MIT

/// What becomes of a pool whose keeper has been killed: there is another pool, in other memory,
/// and tasks that nobody has begun are run there. Workers of the dead one may still be alive for
/// some time: each task is taken from them by the same change of its word by which they would take
/// it, so that no task is run twice. A pause before another attempt is over. Futures stay what they
/// are: their slots lead on to others.

#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <ranges>
#include <utility>

#include "os/life_word.h"
#include "work/pool_core.h"

namespace tine::detail {

using work::TaskSlot;
using work::TaskState;
using work::TaskWord;

/// Where the task of a slot is now, if that is elsewhere.
std::optional<PoolCore::Place> PoolCore::moved_to(std::uint32_t slot) {
  if (memory_->slots()[slot].load().state != TaskState::lost) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = moved_.find(slot);
  if (found == moved_.end()) return std::nullopt;
  return Place{successor_, found->second};
}

std::shared_ptr<PoolCore> PoolCore::successor() {
  const std::lock_guard lock(mutex_);
  return successor_;
}

/// Requires: the keeper is dead. Whoever waits for something of this pool has an outcome, or will
/// have one of the next.
void PoolCore::settle() noexcept {
  const std::lock_guard lock(mutex_);
  settle_locked();
}

/// One that was submitted meanwhile is seen to as well.
void PoolCore::settle(std::uint32_t slot) noexcept {
  const std::lock_guard lock(mutex_);
  settle_locked();
  if (!move(slot)) lose(memory_->slots()[slot]);
}

void PoolCore::settle_locked() noexcept {
  if (closed_) return fail_rest();  // the keeper is the shutdown's
  if (std::exchange(settled_, true)) return;
  try {
    if (table_.broken.load() == 0) start_successor();
    if (successor_) move_all();
  } catch (const std::bad_alloc&) {
    // Then the rest is lost.
  }
  bury_keeper_locked();
}

/// Without one, as when there are threads by now, everything is lost. Keepers that end before they
/// have begun are not made for ever: the next would fare no better.
void PoolCore::start_successor() {
  constexpr int kMostInVain = 3;
  keepers_in_vain_ = os::has_owner(table_.life) ? 0 : keepers_in_vain_ + 1;
  if (keepers_in_vain_ == kMostInVain) return;
  PoolOptions options = options_;
  options.workers = static_cast<int>(table_.target.load());
  if (auto started = PoolCore::start(options)) {
    (*started)->keepers_in_vain_ = keepers_in_vain_;
    successor_ = std::move(*started);
  }
}

/// In the order of the queues: also what workers have taken together and not begun.
void PoolCore::move_all() {
  constexpr std::uint64_t kTaken = work::kMostSeats * 64;
  for (std::uint32_t queue = 0; queue < work::kQueues; ++queue) {
    const std::uint64_t head = table_.queues[queue].head.load();
    const std::uint64_t tail = table_.queues[queue].tail.load();
    for (std::uint64_t at = head - std::min(head, kTaken); at < tail; ++at) {
      const std::uint32_t slot = memory_->entry(queue, at);
      if (slot != work::kNoSlot) move(slot);
    }
  }
  for (const std::uint32_t slot : std::views::iota(0u, slots_used_)) move(slot);
  // Nobody waits for these.
  for (const std::uint32_t slot : dropped_) {
    const auto found = moved_.find(slot);
    if (found == moved_.end()) continue;
    successor_->release(found->second);
    moved_.erase(found);
  }
}

bool PoolCore::move(std::uint32_t slot) {
  TaskSlot& task = memory_->slots()[slot];
  const TaskWord word = task.load();
  const bool waits = word.state == TaskState::queued || word.state == TaskState::delayed;
  if (!successor_ || !waits || (task.rules & work::kIsPart) != 0) return false;
  const auto there = successor_->adopt(*memory_, task);
  if (!there) return false;
  moved_.emplace(slot, *there);
  // The kernel wakes but one of those who sleep on a life: the others learn of it here.
  if (!task.conclude(word.state, TaskState::lost, 0, word.seat)) {
    // One of the old workers was first, or a cancel.
    moved_.erase(slot);
    successor_->abandon(*there);
    return false;
  }
  successor_->submit(*there);
  if (const auto watch = watches_.find(slot); watch != watches_.end()) {
    // Not readable for the keeper's death, but when the task has its outcome.
    const int poll = watch->second.poll.get();
    ::epoll_ctl(poll, EPOLL_CTL_DEL, keeper_end_.get(), nullptr);
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, successor_->fd(*there), &wanted);
  }
  return true;
}

/// A slot here for a task of another pool, not submitted yet.
std::optional<std::uint32_t> PoolCore::adopt(const work::PoolMemory& from, TaskSlot& task) {
  const std::lock_guard lock(mutex_);
  memory_->learn_code(from);
  const auto slot = take_slot();
  if (!slot) return std::nullopt;
  TaskSlot& own = memory_->slots()[*slot];
  const auto arguments = from.arguments(task);
  const bool keeps_failure = (task.rules & work::kUnasked) != 0;
  const auto result = keeps_failure ? from.result(task) : std::span<std::byte>{};
  const auto at = memory_->take_bytes(*slot, arguments.size());
  own.arguments = at.value_or(work::BytesAt{});
  const auto result_at = memory_->take_bytes(*slot, result.size());
  own.result = result_at.value_or(work::BytesAt{});
  if (!at || !result_at) {
    free_slot(*slot);
    return std::nullopt;
  }
  if (!arguments.empty()) {
    std::memcpy(memory_->arguments(own).data(), arguments.data(), arguments.size());
  }
  if (!result.empty()) std::memcpy(memory_->result(own).data(), result.data(), result.size());
  own.word.store(TaskWord{.state = TaskState::writing}.pack(), std::memory_order_relaxed);
  own.kind = task.kind;
  own.queue = task.queue;
  own.rules = task.rules;
  own.thunk = task.thunk;
  own.timeout = task.timeout;
  own.retries = task.retries;
  own.crash_retries = task.crash_retries;
  own.attempts = task.attempts;
  own.crashes = task.crashes;
  own.again.retry_if = task.again.retry_if;
  own.again.retry_delay = task.again.retry_delay;
  own.again.memory_retries = task.again.memory_retries;
  own.again.memory_failures = task.again.memory_failures;
  ++submitted_;
  return *slot;
}

void PoolCore::abandon(std::uint32_t slot) noexcept {
  const std::lock_guard lock(mutex_);
  --submitted_;
  free_slot(slot);
}

/// Nobody will give this task an outcome.
void PoolCore::lose(TaskSlot& task) noexcept {
  for (const TaskState state :
       {TaskState::queued, TaskState::delayed, TaskState::running, TaskState::ending}) {
    task.conclude(state, TaskState::lost, 0);
  }
  task.change(TaskState::cancelling, TaskState::cancelled, 0);
}

}  // namespace tine::detail
