// SPDX-License-Identifier: MIT

/// Parts of maps, as a worker of a pool runs them: batch by batch, as long as nobody needs it more.

#include <stdio.h>
#include <stdio_ext.h>

#include <algorithm>
#include <string>
#include <utility>

#include "os/futex.h"
#include "os/life_word.h"
#include "os/own_pid.h"
#include "work/chunk_records.h"
#include "work/failure_note.h"
#include "work/item_random.h"
#include "work/pool_worker.h"

namespace tine::work {

namespace {

/// A part of a map that has taken so long may be worth another worker.
constexpr std::int64_t kWorthWakingOthers = 5'000;
/// ...and one that has taken so long, a CPU of its own.
constexpr std::int64_t kWorthMoving = 50'000;

}  // namespace

/// Throws BadArguments.
PoolMapMemory PoolWorker::find_map(const PartHead& part) const {
  if (part.map < memory_.slots().size()) {
    const auto bytes = memory_.arguments(memory_.slots()[part.map]);
    if (const auto found = PoolMapMemory::find(bytes, part.place)) return *found;
  }
  throw detail::BadArguments{
      Error{ErrorKind::undecodable, 0, Stage::decode, "a part of a map", "there is no such map"}};
}

void PoolWorker::run_part(const PartHead& part, std::uint32_t queue, detail::MapBody& body) {
  const PoolMapMemory map = find_map(part);
  const PoolMapHead& head = map.head();
  is_part_ = true;
  MapOptions options;
  options.recycle.above_rss = options_.recycle.above_rss;
  if (options_.recycle.after_tasks > 0) {
    options.recycle.after_items = options_.recycle.after_tasks -
                                  std::min<std::uint64_t>(tasks_, options_.recycle.after_tasks - 1);
  }
  ItemTiming timing;
  if (head.timeout > 0) timing = {&seat_.deadline, head.timeout, &seat_.hold};
  WorkerSlot& slot = map.slots()[part.place];
  slot.pid.store(os::own_pid(), std::memory_order_relaxed);
  ChunkRecords records(memory_, part.map, map.chain(part.place));
  const MapShape shape{map.head().table,
                       map.slots(),
                       os::SharedPart(memory_.result(memory_.slots()[part.map])),
                       body,
                       options,
                       keeper_fd_,
                       false,
                       head.seed,
                       0,
                       timing};
  PoolMapWorker worker(shape, part.place, records, *this);
  const ItemStreamScope outer(&slot.runs.front().done, head.seed);
  if (worker.initialize()) run_part(worker, slot, queue, options);
  if (items_ == 0) return;
  note_cost(static_cast<std::uint64_t>(slot.working.load(std::memory_order_relaxed)) / items_);
  knows_cost_ = true;
}

/// Batch by batch, until there are no more items or somebody needs this worker.
void PoolWorker::run_part(PoolMapWorker& part, const WorkerSlot& slot, std::uint32_t queue,
                          MapOptions& options) {
  bool woke_others = false;
  bool has_moved = false;
  while (part.step()) {
    const std::uint64_t before = std::exchange(items_, part.items_done());
    const std::int64_t working = slot.working.load(std::memory_order_relaxed);
    // Now that it is known what items cost, others may be worth their waking.
    if (!woke_others && working > kWorthWakingOthers) {
      note_cost(static_cast<std::uint64_t>(working) / std::max<std::uint64_t>(1, items_));
      woke_others = true;
      if (memory_.backlog() > 0) wake_another();
    }
    if (!has_moved && working > kWorthMoving) {
      has_moved = true;
      part_from_others();
    }
    // What an item has printed is out before anybody knows that it is done, and what it has said
    // of an error is told from that of others: one at a time from now on.
    if (::__fpending(stdout) != 0) {
      ::fflush(stdout);
      options.chunk = 1;
    }
    const std::uint64_t errors = errors_written();
    seat_.errors_at_task.store(errors, std::memory_order_relaxed);
    if (std::exchange(errors_, errors) != errors) {
      options.chunk = 1;
      call_keeper();  // which passes them on
    }
    detail::wait_while_held(seat_.hold);
    if (before != items_ && is_needed(queue)) break;
  }
}

/// By tasks that come first, or by whoever wants it to end.
bool PoolWorker::is_needed(std::uint32_t queue) noexcept {
  for (std::uint32_t i = 0; i < queue; ++i) {
    const auto head = table_.queues[i].head.load(std::memory_order_relaxed);
    if (memory_.entry(i, head) != kNoSlot) return true;
  }
  const auto tasks = std::exchange(tasks_, tasks_ + items_);
  const bool ends = must_end();
  tasks_ = tasks;
  return ends;
}

bool PoolWorker::has_other_work() const noexcept {
  return memory_.backlog() > 0 || seat_.retire.load() != 0 || table_.closing.load() != Closing::no;
}

void PoolWorker::tell_deadline(std::int64_t due) const noexcept {
  const std::int64_t asleep = table_.keeper_asleep.load();
  if (asleep != 0 && asleep > due) call_keeper();
}

/// In a handler.
std::vector<std::byte> PoolWorker::note_of_failure() const {
  FailureNote note = note_in_flight();
  note.stderr_tail = stderr_tail();
  return encoded_note(std::move(note), std::size_t{1} << 20);
}

}  // namespace tine::work
