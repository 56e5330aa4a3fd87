// SPDX-License-Identifier: MIT
//
// The part of PoolCore that is about the pool as a whole: its size, its end, what it counts.

#include <algorithm>
#include <utility>

#include "os/futex.h"
#include "os/life_word.h"
#include "os/own_pid.h"
#include "work/pool_core.h"

namespace tine::detail {

using namespace std::chrono_literals;
using work::Closing;
using work::PoolSeat;
using work::TaskSlot;
using work::TaskState;
using work::TaskWord;

namespace {

constexpr auto kAfterKill = 2s;

}  // namespace

std::expected<void, Error> PoolCore::resize(std::size_t workers) {
  if (!is_owner()) {
    return std::unexpected(refused(ErrorKind::not_owner, "it is another process's"));
  }
  if (workers < 1 || workers > work::kMostSeats) {
    return std::unexpected(refused(ErrorKind::invalid_argument, "a pool has 1 to 512 workers"));
  }
  if (const auto next = successor()) return next->resize(workers);
  const std::lock_guard lock(mutex_);
  most_workers_.store(std::max(most_workers_.load(), workers));
  table_.target.store(static_cast<std::uint32_t>(workers));
  call_keeper();
  return {};
}

/// With the lock. Nobody will give the tasks that are left an outcome.
void PoolCore::fail_rest() noexcept {
  for (TaskSlot& task : memory_->slots().first(slots_used_)) lose(task);
  table_.room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_.room));
}

void PoolCore::shutdown(Drain drain) {
  if (!is_owner()) return;
  const std::lock_guard alone(shutting_down_);
  if (drain == Drain::yes && has_lost_keeper()) settle();
  if (const auto next = successor()) next->shutdown(drain);
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    table_.closing.store(drain == Drain::yes ? Closing::drain : Closing::kill);
  }
  // Who waits for room learns that there will be none.
  table_.room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_.room));
  call_keeper();
  auto ended = keeper_.wait_for(options_.shutdown_grace);
  if (ended && !*ended) {
    table_.closing.store(Closing::kill);
    call_keeper();
    ended = keeper_.wait_for(kAfterKill);
  }
  const std::lock_guard lock(mutex_);
  settled_ = true;
  bury_keeper_locked();
}

/// Reaps it; nobody has to wait any more.
void PoolCore::bury_keeper_locked() noexcept {
  [[maybe_unused]] const auto gone = keeper_.terminate(0ms);
  table_.life.fetch_or(FUTEX_OWNER_DIED);
  keeper_ = Child{};
  fail_rest();
  // Not calls_: others may be about to write to it, without the lock.
  life_.reset();
  requests_.reset();
}

PoolStats PoolCore::stats() {
  PoolStats stats;
  if (!is_owner()) return stats;
  if (const auto next = successor()) return next->stats();
  const std::lock_guard lock(mutex_);
  stats.queued = queued();
  for (std::uint32_t i = 0; i < used_seats().size(); ++i) {
    const PoolSeat& seat = used_seats()[i];
    stats.failed += seat.failed.load();
    const std::uint32_t slot = seat.current.load();
    if (seat.pid.load() == 0 || slot >= memory_->slots().size()) continue;
    const TaskWord word = memory_->slots()[slot].load();
    const bool runs = word.state == TaskState::running || word.state == TaskState::ending;
    if (runs && word.seat == i) ++stats.running;
  }
  stats.failed += table_.died.load() + cancelled_.load() + failed_items_;
  stats.failed -= std::min<std::size_t>(stats.failed, failed_parts_);
  const std::uint64_t all = submitted_ + items_ - parts_;
  stats.done = all - std::min<std::size_t>(all, stats.queued + stats.running);
  stats.workers = static_cast<int>(table_.alive.load());
  stats.deaths = table_.deaths.load();
  return stats;
}

std::vector<pid_t> PoolCore::worker_pids() {
  std::vector<pid_t> pids;
  if (!is_owner()) return pids;
  if (const auto next = successor()) return next->worker_pids();
  for (const PoolSeat& seat : used_seats()) {
    if (const pid_t pid = seat.pid.load(); pid != 0) pids.push_back(pid);
  }
  return pids;
}

}  // namespace tine::detail
