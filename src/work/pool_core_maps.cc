// SPDX-License-Identifier: MIT

/// The memory of maps in a pool's host: held while their parts are tasks, and as long as somebody
/// has their results.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "os/life_word.h"
#include "os/system_error.h"
#include "work/chunk_records.h"
#include "work/pool_core.h"

namespace tine::detail {

using namespace std::chrono_literals;
using work::PoolMemory;
using work::TaskSlot;
using work::TaskState;
using work::TaskWord;
using Clock = std::chrono::steady_clock;

std::expected<PoolCore::HeldMap, std::unique_ptr<Failure>> PoolCore::hold_map(std::size_t bytes,
                                                                              std::size_t values,
                                                                              std::size_t items) {
  if (!is_owner()) {
    return std::unexpected(not_started(refused(ErrorKind::not_owner, "it is another process's")));
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(dropped_maps_, [&](HeldMap& held) { return free_map(held); });
  if (auto refused = refusal("")) return std::unexpected(std::move(refused));
  auto slot = take_slot();
  if (!slot) return std::unexpected(std::move(slot.error()));
  TaskSlot& task = memory_->slots()[*slot];
  task.arguments = {};
  task.result = {};
  task.word.store(TaskWord{.state = TaskState::writing}.pack(), std::memory_order_relaxed);
  const auto arguments = memory_->take_chunks(*slot, bytes);
  const auto results = arguments ? memory_->take_chunks(*slot, values) : std::nullopt;
  if (arguments) task.arguments = *arguments;
  if (!results) {
    free_slot(*slot);
    return std::unexpected(
        not_started(os::failed(Stage::prepare, ENOMEM, "the memory of a map").error()));
  }
  task.result = *results;
  table_.map_items.fetch_add(items, std::memory_order_relaxed);
  return HeldMap{.map = *slot, .items = items};
}

std::span<std::byte> PoolCore::map_bytes(const HeldMap& held) const noexcept {
  return memory_->arguments(memory_->slots()[held.map]);
}

void PoolCore::free_records(const HeldMap& held, work::RecordChain& chain) {
  const std::lock_guard lock(mutex_);
  work::free_chunk_records(*memory_, held.map, chain);
}

/// With the lock. False: a worker may still look at the map.
bool PoolCore::free_parts(HeldMap& held) noexcept {
  std::erase_if(held.parts, [&](std::uint32_t slot) {
    if (!memory_->slots()[slot].load().idle()) return false;
    free_slot(slot);
    return true;
  });
  if (!held.parts.empty()) return false;
  TaskSlot& task = memory_->slots()[held.map];
  if (std::exchange(held.has_deaths, false)) {
    memory_->free_all_but(held.map, task.result);
  } else if (task.arguments.area != 0) {
    memory_->free_bytes(held.map, task.arguments);
  }
  task.arguments = {};
  return true;
}

bool PoolCore::free_map(HeldMap& held) noexcept {
  if (!free_parts(held)) return false;
  free_slot(held.map);
  return true;
}

/// Nobody reads its results any more.
void PoolCore::drop_map(const HeldMap& held) noexcept {
  if (!is_owner()) return;
  const std::lock_guard lock(mutex_);
  HeldMap copy = held;
  if (!free_map(copy)) dropped_maps_.push_back(std::move(copy));
}

std::shared_ptr<std::byte> PoolCore::release_map(HeldMap held) {
  {
    const std::lock_guard lock(mutex_);
    table_.map_items.fetch_sub(held.items, std::memory_order_relaxed);
    free_parts(held);
  }
  const auto values = memory_->chunk(memory_->slots()[held.map].result);
  const std::shared_ptr<HeldMap> owner(new HeldMap(std::move(held)),
                                       [core = shared_from_this()](const HeldMap* gone) {
                                         core->drop_map(*gone);
                                         delete gone;
                                       });
  return values.empty() ? nullptr : std::shared_ptr<std::byte>(owner, values.data());
}

bool PoolCore::has_ended(std::uint32_t slot) const noexcept {
  return memory_->slots()[slot].load().finished();
}

/// Without slots: until the time has come, or the keeper is gone.
void PoolCore::wait_for_any(std::span<const std::uint32_t> slots,
                            Clock::time_point until) noexcept {
  if (!slots.empty() && spin(memory_->slots()[slots.front()])) return;
  std::vector<os::WatchedWord> words;
  if (has_lost_keeper()) {
    settle();
    for (const std::uint32_t slot : slots) settle(slot);
  }
  work::store_if_new<std::uint32_t>(table_.host_cpu, work::current_cpu());
  for (const std::uint32_t slot : slots) {
    TaskSlot& task = memory_->slots()[slot];
    const std::uint32_t before = task.word.fetch_or(TaskWord::kAwaited);
    if (TaskWord::unpack(before).finished()) return;
    words.push_back({&task.word, before | TaskWord::kAwaited});
  }
  os::wait_while_alive(words, table_.life, std::min(until, Clock::now() + 1h));
}

void PoolCore::withdraw(std::uint32_t slot) noexcept {
  if (memory_->slots()[slot].conclude(TaskState::queued, TaskState::cancelled, 0)) {
    cancelled_queued_.fetch_add(1);
    make_room();
  }
}

void PoolCore::release_part(HeldMap& held, std::uint32_t slot) {
  std::erase(held.parts, slot);
  release(slot);
}

void PoolCore::count_items(std::size_t items, std::size_t failed, std::size_t parts,
                           std::size_t failed_parts) {
  const std::lock_guard lock(mutex_);
  items_ += items;
  failed_items_ += failed;
  parts_ += parts;
  failed_parts_ += failed_parts;
}

}  // namespace tine::detail
