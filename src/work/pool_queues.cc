// SPDX-License-Identifier: MIT
//
// The part of PoolMemory that is about tasks which wait, and whoever is to be woken for them.

#include <algorithm>

#include "os/futex.h"
#include "os/life_word.h"
#include "work/pool_memory.h"

namespace tine::work {

bool PoolMemory::put(std::uint32_t queue, std::uint32_t slot) noexcept {
  TaskQueue& where = table_->queues[queue];
  auto& entries = entries_[queue];
  const std::uint64_t position = where.tail.load(std::memory_order_relaxed);
  auto& place = entries[position & (entries.size() - 1)];
  const auto name_of = [queue](std::uint64_t at) { return at * kQueues + queue; };
  if (position >= entries.size()) {
    // Somebody may have said that he takes what stands here, and not have come to it.
    const std::uint64_t before = position - entries.size();
    const std::uint32_t old = entry(queue, before);
    if (old != kNoSlot && old != slot &&
        put_at_[old].load(std::memory_order_relaxed) == name_of(before) &&
        slots_[old].load().state == TaskState::queued) {
      return false;
    }
  }
  put_at_[slot].store(name_of(position), std::memory_order_relaxed);
  place.store((position + 1) << 32 | slot, std::memory_order_release);
  where.tail.store(position + 1, std::memory_order_seq_cst);
  return true;
}

void PoolMemory::tell_of_room() noexcept {
  if (table_->room_wanted.load() == 0 || table_->room_wanted.exchange(0) == 0) return;
  table_->room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_->room));
}

std::uint32_t PoolMemory::entry(std::uint32_t queue, std::uint64_t position) const noexcept {
  const auto& entries = entries_[queue];
  const std::uint64_t seen =
      entries[position & (entries.size() - 1)].load(std::memory_order_acquire);
  const auto slot = static_cast<std::uint32_t>(seen);
  const bool there = seen >> 32 == ((position + 1) & 0xffffffff) && slot < slots_.size();
  return there ? slot : kNoSlot;
}

std::uint64_t PoolMemory::backlog() const noexcept {
  std::uint64_t all = 0;
  for (const TaskQueue& queue : table_->queues) {
    const std::uint64_t head = queue.head.load();
    const std::uint64_t tail = queue.tail.load();
    all += tail > head ? tail - head : 0;
  }
  return all;
}

// ---- Attempts ----

bool PoolMemory::say_delayed(TaskSlot& task, std::uint32_t seat) noexcept {
  table_->returned.fetch_add(1);
  if (task.change(TaskState::running, TaskState::delayed, seat, seat)) return true;
  table_->returned.fetch_sub(1);
  return false;
}

void PoolMemory::push_handed_back(std::uint32_t slot) noexcept {
  TaskSlot& task = slots_[slot];
  std::uint32_t top = table_->handed_back.load();
  do {
    task.again.below.store(top, std::memory_order_relaxed);
  } while (!table_->handed_back.compare_exchange_weak(top, slot));
}

bool PoolMemory::drop_queued(TaskSlot& task, TaskState outcome) noexcept {
  const TaskWord word = task.load();
  const bool of_keeper = word.state == TaskState::delayed && word.seat == kKeeperSeat;
  if (word.state != TaskState::queued && !of_keeper) return false;
  // Counted before anybody learns of it.
  table_->dropped.fetch_add(1);
  table_->died.fetch_add(1);
  if (task.conclude(word.state, outcome, 0, word.seat)) return true;
  table_->dropped.fetch_sub(1);
  table_->died.fetch_sub(1);
  return false;
}

// ---- Waking ----

namespace {

/// Waking somebody costs about as much as this many ns of tasks.
constexpr std::uint64_t kWorthWaking = 30'000;

/// What the waiting tasks would cost one of the workers that has short ones, awake or not; much
/// when there is none.
std::uint64_t cost_of_backlog(const PoolMemory& memory, bool asleep_as_well) {
  std::uint64_t least = PoolSeat::kUnknownCost;
  const PoolTable& table = memory.table();
  std::size_t left = table.alive.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < memory.seats().size() && left > 0; ++i) {
    const PoolSeat& seat = memory.seats()[i];
    if (seat.pid.load(std::memory_order_relaxed) == 0) continue;
    --left;
    if (!asleep_as_well && table.parked.contains(i)) continue;
    least = std::min<std::uint64_t>(least, seat.mean_cost.load(std::memory_order_relaxed));
  }
  const std::uint64_t tasks = memory.backlog() + table.map_items.load(std::memory_order_relaxed);
  return least * std::clamp<std::uint64_t>(tasks, 1, std::uint64_t{1} << 31);
}

}  // namespace

/// Requires: it has been taken out of those that are parked.
void PoolMemory::ring(std::size_t seat) noexcept {
  table_->dozing.remove(seat);
  table_->searching.add(seat);
  seats_[seat].bell.fetch_add(1);
  os::futex_wake_all(os::futex_word(seats_[seat].bell));
}

void PoolMemory::wake_more(std::size_t workers) noexcept {
  if (workers == 0 || cost_of_backlog(*this, true) < kWorthWaking) return;
  for (; workers > 0; --workers) {
    const auto seat = table_->parked.take();
    if (!seat) return;
    ring(*seat);
  }
}

PoolMemory::Waking PoolMemory::wake_worker() noexcept {
  PoolTable& table = *table_;
  if (table.searching.any()) return Waking::nothing;
  // One who dozes sees it soon, should it turn out that the others do not.
  if (table.dozing.any() && cost_of_backlog(*this, false) < kWorthWaking) return Waking::nothing;
  if (const auto seat = table.parked.take()) {
    ring(*seat);
    return Waking::rung;
  }
  if (table.alive.load() >= table.target.load()) return Waking::nothing;
  return table.keeper_called.exchange(1) == 0 ? Waking::call_keeper : Waking::rung;
}

}  // namespace tine::work
