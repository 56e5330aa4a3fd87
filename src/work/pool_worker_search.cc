// SPDX-License-Identifier: MIT

/// How a worker of a pool finds its tasks: in a range that it has taken, in its mail, in the
/// queues, in the ranges of others; and how it waits when there are none.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "os/futex.h"
#include "os/life_word.h"
#include "os/relax.h"
#include "work/child_errors.h"
#include "work/memory_limit.h"
#include "work/pool_worker.h"

namespace tine::work {

using detail::now_ns;

namespace {

/// Tasks that are shorter than this are taken several at a time...
constexpr std::uint32_t kShort = 2'000;
/// ...as many as this, or as take so long. The clock is read that rarely.
constexpr std::uint64_t kMostAtOnce = 32;
constexpr std::uint64_t kRangeTime = 20'000;
constexpr std::uint32_t kBetweenSteals = 64;
constexpr std::int64_t kSpinForTask = 20'000;
/// While a host that we have woken comes to itself on a CPU that was asleep.
constexpr std::int64_t kSpinForWoken = 100'000;
constexpr std::int64_t kDoze = 1'000'000;
/// The keeper looks at the memory of who is awake about that often.
constexpr std::int64_t kBetweenLooks = 50'000'000;
constexpr int kDozes = 10;
constexpr int kMostCredit = 8;
/// What has taken less (ns) has hardly written to stderr, for a write alone takes as long; to look
/// every time would be most of what a short task costs. So many looks may be saved in a row.
constexpr std::int64_t kTooShortToWrite = 300;
constexpr int kMostSaved = 64;
/// A keeper that has not passed on by then what we wrote to stderr is stopped, say, or has nobody
/// who reads it.
constexpr auto kLongestShow = std::chrono::milliseconds(100);

std::chrono::steady_clock::time_point time_at(std::int64_t ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns));
}

}  // namespace

// ---- Finding tasks ----

std::uint64_t PoolWorker::range_size() const noexcept {
  const auto next = seat_.range_next.load(std::memory_order_relaxed);
  const auto end = seat_.range_end.load(std::memory_order_relaxed);
  return end > next ? end - next : 0;
}

/// Requires: the set of those that search holds this worker, unless it has a range.
std::optional<std::uint32_t> PoolWorker::next_task() {
  for (;;) {
    if (const auto slot = next_of_range()) return slot;
    end_range();
    if (must_end()) break;
    if (const auto slot = take_mail()) return slot;
    // Now and then what others have taken and not come to has been waiting for longer.
    const bool others_first = ++ranges_taken_ % kBetweenSteals == 0;
    if (!others_first && take_range()) continue;
    if (const auto slot = steal()) {
      found_tasks(false);
      return slot;
    }
    if (others_first && take_range()) continue;
    if (table_.closing.load() != Closing::no || !wait_for_tasks()) break;
  }
  table_.searching.remove(place_);
  return std::nullopt;
}

std::optional<std::uint32_t> PoolWorker::next_of_range() {
  while (range_size() > 0) {
    const std::uint64_t position = seat_.range_next.load(std::memory_order_relaxed);
    const std::uint32_t slot =
        memory_.entry(seat_.range_queue.load(std::memory_order_relaxed), position);
    const bool ours = slot != kNoSlot && claim(slot);
    seat_.range_next.store(position + 1, std::memory_order_release);
    if (ours) return slot;
  }
  return std::nullopt;
}

/// It stays there until it is taken: should we die, the keeper finds it.
std::optional<std::uint32_t> PoolWorker::take_mail() {
  const std::uint32_t slot = seat_.mail.load();
  if (slot >= memory_.slots().size()) return std::nullopt;
  const bool ours = claim(slot);
  std::uint32_t seen = slot;
  seat_.mail.compare_exchange_strong(seen, kNoSlot);
  if (!ours) return std::nullopt;
  found_tasks(false);
  return slot;
}

bool PoolWorker::claim(std::uint32_t slot) {
  TaskSlot& task = memory_.slots()[slot];
  seat_.current.store(slot, std::memory_order_release);
  const std::uint64_t begun = seat_.begun.load(std::memory_order_relaxed) + 1;
  seat_.begun_then.store(begun, std::memory_order_relaxed);
  passed(PoolStep::named_task);
  if (!task.change(TaskState::queued, TaskState::running, place_)) return false;
  passed(PoolStep::took_task);
  // Who waits for room counts by this, unless it goes by the queue's head.
  seat_.begun.store(
      begun, options_.max_queued > 0 ? std::memory_order_seq_cst : std::memory_order_relaxed);
  memory_.tell_of_room();
  // What is meant for us has to wait now, unless the keeper finds it somebody else.
  const std::uint32_t mail = seat_.mail.load();
  if (mail != kNoSlot && mail != slot) call_keeper();
  detail::wait_while_held(seat_.hold);
  return true;
}

bool PoolWorker::take_range() {
  const std::uint32_t seen = std::exchange(seen_in_, kQueues);
  for (std::uint32_t queue = seen < kQueues ? seen : 0; queue < kQueues; ++queue) {
    if (!take_range_of(queue, queue == seen)) continue;
    passed(PoolStep::took_range);
    found_tasks(queue == seen);
    return true;
  }
  return false;
}

/// What we leave, and what we have taken together, may be for others.
void PoolWorker::found_tasks(bool single) noexcept {
  dozes_ = 0;
  if (table_.target.load(std::memory_order_relaxed) == 1) return;  // there are no others
  table_.searching.remove(place_);
  // Of one that was seen by its entry the tail is still a line away, but not what stands behind it.
  const bool more = range_size() > 1 || (single ? has_entry() : memory_.backlog() > 0);
  seen_in_ = kQueues;
  if (more) wake_another();
}

bool PoolWorker::take_range_of(std::uint32_t queue, bool entry_seen) {
  TaskQueue& where = table_.queues[queue];
  std::uint64_t head = where.head.load();
  for (;;) {
    // An entry that has been seen is at hand; the tail would be one more line to wait for.
    const bool single = entry_seen && memory_.entry(queue, head) != kNoSlot &&
                        memory_.entry(queue, head + 1) == kNoSlot;
    const std::uint64_t tail = single ? head + 1 : where.tail.load();
    if (head >= tail) return false;
    const std::uint32_t cost = seat_.mean_cost.load(std::memory_order_relaxed);
    std::uint64_t most = 1;
    if (cost < kShort && !single) {
      const std::uint64_t share = (tail - head) / (2 * std::max(1u, table_.alive.load()));
      most = std::clamp<std::uint64_t>(std::min(share, kRangeTime / std::max(1u, cost)), 1,
                                       kMostAtOnce);
    }
    if (options_.recycle.after_tasks > 0) {
      most = std::min<std::uint64_t>(most, options_.recycle.after_tasks - tasks_);
    }
    const std::uint64_t end = head + std::min(most, tail - head);
    // First named, then taken: in between, others may take from it as well, which is as good.
    seat_.range_queue.store(queue, std::memory_order_relaxed);
    seat_.range_next.store(head, std::memory_order_release);
    seat_.range_end.store(end, std::memory_order_release);
    passed(PoolStep::named_range);
    if (where.head.compare_exchange_strong(head, end)) {
      memory_.tell_of_room();  // these may all have been cancelled
      return true;
    }
    seat_.range_end.store(0, std::memory_order_release);
  }
}

/// What others have taken together and not begun: from the end, where they come last.
std::optional<std::uint32_t> PoolWorker::steal() {
  const std::size_t seats = memory_.seats().size();
  std::size_t left = table_.alive.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < seats && left > 0; ++i) {
    const PoolSeat& other = memory_.seats()[i];
    if (other.pid.load(std::memory_order_relaxed) == 0) continue;
    --left;
    if (i == place_) continue;
    const std::uint64_t next = other.range_next.load(std::memory_order_acquire);
    const std::uint64_t end = other.range_end.load(std::memory_order_acquire);
    const std::uint32_t queue = other.range_queue.load(std::memory_order_acquire);
    if (end <= next || end - next > kMostAtOnce || queue >= kQueues) continue;
    for (std::uint64_t position = end; position-- > next;) {
      const std::uint32_t slot = memory_.entry(queue, position);
      if (slot == kNoSlot) continue;
      if (memory_.slots()[slot].load().state == TaskState::queued && claim(slot)) return slot;
    }
  }
  return std::nullopt;
}

/// What is to be done now and then, when nobody waits for it.
void PoolWorker::end_range() {
  if (in_range_ == 0) return;
  clock_ = now_ns();
  const std::int64_t elapsed = clock_ - range_began_;
  if (!std::exchange(knows_cost_, false)) {
    note_cost(static_cast<std::uint64_t>(elapsed) / in_range_);
  }
  in_range_ = 0;
  if (elapsed < kTooShortToWrite && ++looks_saved_ < kMostSaved) return;
  look_at_errors();
}

void PoolWorker::look_at_errors() {
  looks_saved_ = 0;
  const std::uint64_t errors = errors_written();
  seat_.errors_at_task.store(errors, std::memory_order_relaxed);
  if (std::exchange(errors_, errors) != errors) call_keeper();  // which passes them on
}

/// What a task has written is out before anybody knows that it is done, unless our stderr takes
/// nothing for a while. That there is something is seen without a system call, in the file itself,
/// where a zero is what nobody has written.
void PoolWorker::show_errors() noexcept {
  const bool sees_more =
      errors_ < errors_view_.size() &&
      std::atomic_ref(errors_view_[errors_]).load(std::memory_order_relaxed) != 0;
  if (sees_more) look_at_errors();
  if (errors_shown_ == errors_) return;
  const auto wanted = static_cast<std::uint32_t>(errors_);
  // Whoever has taken nothing the last time is not waited for again.
  const bool was_stuck = seat_.errors_passed.load() < errors_shown_;
  errors_shown_ = errors_;
  if (was_stuck) return;
  const auto limit = std::chrono::steady_clock::now() + kLongestShow;
  seat_.errors_awaited.store(1);
  for (auto passed = seat_.errors_passed.load(); passed < wanted;
       passed = seat_.errors_passed.load()) {
    if (!os::futex_wait_until(&seat_.errors_passed, passed, limit)) break;
  }
  seat_.errors_awaited.store(0);
}

void PoolWorker::note_cost(std::uint64_t each) noexcept {
  const std::uint64_t before = seat_.mean_cost.load(std::memory_order_relaxed);
  const std::uint64_t mean =
      before == PoolSeat::kUnknownCost || each > before ? each : (3 * before + each) / 4;
  seat_.mean_cost.store(
      static_cast<std::uint32_t>(std::clamp<std::uint64_t>(mean, 1, PoolSeat::kUnknownCost - 1)),
      std::memory_order_relaxed);
}

bool PoolWorker::must_end() {
  const PoolRecycle& recycle = options_.recycle;
  if (seat_.retire.load(std::memory_order_relaxed) != 0) return true;
  if (recycle.after_tasks > 0 && tasks_ >= recycle.after_tasks) return true;
  if (errors_ >= kMostErrors) return true;
  if (tasks_ == 0) return false;  // or nothing would ever get done
  if (recycle.after_age.count() > 0 && now_ns() - born_ > recycle.after_age.count()) return true;
  if (recycle.above_rss == 0) return false;
  constexpr std::int64_t kBetweenOwnLooks = 2'000'000;  // one costs about 2 us
  const std::int64_t now = now_ns();
  if (now < next_look_at_rss_) return false;
  next_look_at_rss_ = now + kBetweenOwnLooks;
  return own_memory() > recycle.above_rss;
}

// ---- Waiting for them ----

/// False: the time of an idle worker is over.
bool PoolWorker::wait_for_tasks() {
  table_.searching.add(place_);
  const std::int64_t began = clock_;
  const std::int64_t most = std::exchange(woke_host_, false) ? kSpinForWoken : kSpinForTask;
  if (spin(most)) return true;
  const bool spun = clock_ - began >= most;
  const bool dozes = dozes_ < kDozes;
  const std::int64_t idle = idle_limit();
  const bool limited = !dozes && idle > 0;
  const std::int64_t since = clock_;
  const bool rung = park(dozes ? kDoze : limited ? idle : -1);
  clock_ = now_ns();
  // It looks how much memory we have, while we are awake.
  if (options_.memory > 0 && table_.keeper_asleep.load() > clock_ + kBetweenLooks) call_keeper();
  if (rung && clock_ - since < most) judge_spinning(spun);
  if (dozes) {
    ++dozes_;
  } else if (limited && !rung) {
    return false;
  }
  if (rung) dozes_ = 0;
  table_.searching.add(place_);
  passed(PoolStep::woken);
  return true;
}

/// Until we end for want of tasks, or of age; 0: never.
std::int64_t PoolWorker::idle_limit() const noexcept {
  const std::int64_t idle = options_.idle_timeout.count();
  const std::int64_t age = options_.recycle.after_age.count();
  if (age <= 0) return idle;
  const std::int64_t left = std::max<std::int64_t>(1, age - (clock_ - born_));
  return idle > 0 ? std::min(idle, left) : left;
}

/// We have been rung as soon as we slept. If we had waited awake, that would have paid; if we had,
/// somebody has waited until he got our CPU. The scheduler may find him another within some
/// milliseconds; if not, there is none, and we had better sleep for some time to come.
void PoolWorker::judge_spinning(bool spun) noexcept {
  constexpr int kMostWasted = 1000;
  constexpr int kPause = 3000;
  if (spun && ++wasted_spins_ >= kMostWasted) {
    wasted_spins_ = 0;
    spin_credit_ = -kPause;
  } else {
    spin_credit_ = std::min(spin_credit_ + (spin_credit_ < 0 ? 1 : 2), kMostCredit);
  }
}

bool PoolWorker::has_news() const noexcept {
  return memory_.backlog() > 0 || seat_.mail.load() != kNoSlot || seat_.retire.load() != 0 ||
         table_.closing.load() != Closing::no;
}

/// The same by the entries themselves, which come a line of memory sooner than the tails.
bool PoolWorker::has_entry() noexcept {
  for (std::uint32_t queue = 0; queue < kQueues; ++queue) {
    const auto head = table_.queues[queue].head.load(std::memory_order_acquire);
    const std::uint32_t slot = memory_.entry(queue, head);
    if (slot == kNoSlot) continue;
    __builtin_prefetch(&memory_.slots()[slot], 1);  // it will be ours
    seen_in_ = queue;
    return true;
  }
  return seat_.mail.load(std::memory_order_relaxed) != kNoSlot ||
         seat_.retire.load(std::memory_order_relaxed) != 0 ||
         table_.closing.load(std::memory_order_relaxed) != Closing::no;
}

/// Only while there is a CPU for each that is awake, the host among them; and as long as that has
/// paid lately: whoever we have woken may want our CPU.
bool PoolWorker::spin(std::int64_t limit) noexcept {
  const std::size_t alive = table_.alive.load(std::memory_order_relaxed);
  const std::size_t parked = table_.parked.count();
  store_if_new(table_.worker_cpu[place_], current_cpu());
  if (std::exchange(shares_cpu_, false)) return has_news();
  if (spin_credit_ <= 0 || alive - std::min(alive, parked) + 1 > table_.cpus) return has_news();
  const std::int64_t until = clock_ + limit;
  do {
    for (int i = 0; i < 32; ++i) {
      if (has_entry()) {
        spin_credit_ = std::min(spin_credit_ + 1, kMostCredit);
        wasted_spins_ = 0;
        return true;
      }
      os::relax();
    }
    clock_ = now_ns();
  } while (clock_ < until);
  --spin_credit_;
  return false;
}

/// Sleeps for at most `limit` ns, -1: without. False: nobody has rung.
bool PoolWorker::park(std::int64_t limit) {
  if (looks_saved_ > 0) look_at_errors();
  if (limit != kDoze) {
    shared_trips_ = 0;
    move_after_ = kFirstMove;
  }
  const std::uint32_t bell = seat_.bell.load();
  const bool dozes = limit == kDoze;
  store_if_new(table_.worker_cpu[place_], current_cpu());
  table_.parked.add(place_);
  if (dozes) table_.dozing.add(place_);
  table_.searching.remove(place_);
  passed(PoolStep::parking);
  // Whoever has put something before we were seen here: it is seen now.
  if (!has_news()) {
    const auto until = limit < 0 ? time_at(std::numeric_limits<std::int64_t>::max() / 2)
                                 : time_at(now_ns() + limit);
    os::futex_wait_until(os::futex_word(seat_.bell), bell, until);
  }
  table_.dozing.remove(place_);
  store_if_new(table_.worker_cpu[place_], current_cpu());
  // Who is no longer among the sleepers has been chosen to wake up.
  const bool chosen = !table_.parked.remove(place_);
  return chosen || has_news();
}

}  // namespace tine::work
