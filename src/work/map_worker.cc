// SPDX-License-Identifier: MIT
#include "work/map_worker.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "os/futex.h"
#include "os/life_word.h"
#include "os/young_child.h"
#include "work/child_errors.h"
#include "work/failure_note.h"
#include "work/item_random.h"
#include "work/map_records.h"
#include "work/memory_limit.h"

namespace tine {

void detail::wait_while_held(const std::atomic<std::uint32_t>& held) noexcept {
  while (held.load() != 0) os::futex_wait(os::futex_word(held), 1);
}

namespace work {

using detail::now_ns;

namespace {

/// A batch is to take so long: then its two looks at the clock and what else it costs, about 0.1
/// us, are nothing, and another worker that waits for a share of it does not wait long.
constexpr std::int64_t kBatchTime = 50'000;
constexpr std::uint32_t kMostGrowth = 16;  // from one batch to the next
/// Items that take longer are worth a note of their own.
constexpr std::int64_t kWorthNoting = 20'000;
/// As a batch is sized by what items cost, these are a microsecond or so.
constexpr std::size_t kLongestStretch = 16;

}  // namespace

void (*at_worker_step)(WorkerStep step, MapTable& table, WorkerSlot& slot) noexcept = nullptr;

void MapTable::announce() noexcept {
  offers.fetch_add(1, std::memory_order_acq_rel);
  os::futex_wake_all(&offers);
}

TINE_YOUNG_CHILD MapWorker::MapWorker(const MapShape& shape, std::size_t place, Records& records,
                                      Where where)
    : shape_(shape), slot_(shape.slots[place]), records_(records), where_(where) {
  if (shape.options.timeout.count() > 0 && shape.timing.started == nullptr) {
    shape_.timing.started = &slot_.item_started;
  }
}

TINE_YOUNG_CHILD void MapWorker::passed(WorkerStep step) const noexcept {
  if (at_worker_step != nullptr) at_worker_step(step, shape_.table, slot_);
}

TINE_YOUNG_CHILD int MapWorker::run() noexcept {
  if (!initialize()) return 1;
  try {
    while (step()) {
    }
  } catch (const std::bad_alloc&) {
    slot_.stage.store(WorkerStage::out_of_memory, std::memory_order_release);
    return 1;
  }
  return 0;
}

TINE_YOUNG_CHILD bool MapWorker::initialize() {
  slot_.stage.store(WorkerStage::initializing, std::memory_order_release);
  passed(WorkerStep::started);
  const std::int64_t began = now_ns();
  try {
    shape_.body.begin_worker();
  } catch (...) {
    note_failure(began);
    slot_.stage.store(WorkerStage::init_failed, std::memory_order_release);
    return false;
  }
  slot_.stage.store(WorkerStage::working, std::memory_order_release);
  passed(WorkerStep::initialized);
  return true;
}

TINE_YOUNG_CHILD bool MapWorker::step() {
  const auto batch = next_batch();
  if (!batch) {
    if (slot_.stage.load() == WorkerStage::working) {
      slot_.stage.store(WorkerStage::finished, std::memory_order_release);
    }
    passed(WorkerStep::ending);
    // Whoever waits for a share of ours has to look elsewhere.
    shape_.table.announce();
    return false;
  }
  run_batch(*batch);
  return true;
}

// ---- Finding items ----

TINE_YOUNG_CHILD std::uint32_t MapWorker::item_count() const noexcept {
  return static_cast<std::uint32_t>(shape_.body.size());
}

TINE_YOUNG_CHILD bool MapWorker::is_valid(Span items) const noexcept {
  return !items.empty() && items.end <= item_count();
}

TINE_YOUNG_CHILD bool MapWorker::must_stop() const noexcept {
  return shape_.table.stop.load(std::memory_order_acquire) != 0 ||
         (slot_.interrupted.load(std::memory_order_acquire) & kStop) != 0;
}

TINE_YOUNG_CHILD bool MapWorker::must_retire() {
  const RecyclePolicy& recycle = shape_.options.recycle;
  if (recycle.after_items > 0 && items_done_ >= recycle.after_items) return true;
  if (failed_once_ && shape_.body.consumes_inputs() && shape_.options.retries > 0) return true;
  if (recycle.above_rss > 0 && is_too_large()) return true;
  const std::uint64_t errors = errors_written();
  slot_.errors_at_batch.store(errors, std::memory_order_relaxed);
  return errors >= kMostErrors;
}

/// Looks every few milliseconds: a look costs about 2 us.
bool MapWorker::is_too_large() {
  constexpr std::int64_t kBetweenLooks = 2'000'000;
  const std::int64_t now = now_ns();
  if (now < next_look_at_rss_) return false;
  next_look_at_rss_ = now + kBetweenLooks;
  return own_memory() > shape_.options.recycle.above_rss;
}

TINE_YOUNG_CHILD std::optional<Span> MapWorker::next_batch() {
  for (;;) {
    if (must_stop()) return std::nullopt;
    if (must_retire()) {
      slot_.stage.store(WorkerStage::retired, std::memory_order_release);
      return std::nullopt;
    }
    std::uint32_t most = batch_size_;
    if (const std::size_t after = shape_.options.recycle.after_items; after > 0) {
      most = static_cast<std::uint32_t>(std::min<std::size_t>(most, after - items_done_));
    }
    const Span batch = slot_.range.take_front(most);
    if (!batch.empty()) {
      passed(WorkerStep::took_from_front);
      if (!is_valid(batch)) {  // somebody has scribbled: the parent's account will tell
        slot_.range.take_all();
        continue;
      }
      if (note_batch(batch)) return batch;
      slot_.range.put_back(batch);
      slot_.stage.store(WorkerStage::retired, std::memory_order_release);
      return std::nullopt;
    }
    if (!find_items()) return std::nullopt;
  }
}

TINE_YOUNG_CHILD bool MapWorker::find_items() {
  for (;;) {
    const std::uint32_t offers = shape_.table.offers.load(std::memory_order_acquire);
    if (must_stop()) return false;
    if (take_handed_out() || steal()) return true;
    if (!wait_for_items(offers)) return false;
  }
}

/// False: nobody has any to give.
TINE_YOUNG_CHILD bool MapWorker::wait_for_items(std::uint32_t offers_seen) {
  if (where_ == Where::parent) return false;
  const bool asked = ask_for_share();
  if (!asked && shape_.table.more.load(std::memory_order_acquire) == 0) return false;
  const std::int64_t began = now_ns();
  const bool goes_on = sleep_for_items(offers_seen);
  slot_.waiting.fetch_add(now_ns() - began, std::memory_order_relaxed);
  return goes_on;
}

/// Whoever comes to the end of its batch before it could see the question has announced something
/// since, or will as it begins the next or ends.
TINE_YOUNG_CHILD bool MapWorker::sleep_for_items(std::uint32_t offers_seen) {
  os::futex_wait(&shape_.table.offers, offers_seen);
  return true;
}

TINE_YOUNG_CHILD bool MapWorker::take_handed_out() {
  for (ItemRange& range : shape_.table.handed_out) {
    if (range.load().empty()) continue;
    const Span taken = range.take_all();
    passed(WorkerStep::took_handed_out);
    if (shape_.table.more.load(std::memory_order_acquire) != 0) tell_parent();
    if (!is_valid(taken)) continue;
    slot_.range.put(taken);
    return true;
  }
  return false;
}

bool MapWorker::steal() {
  WorkerSlot* victim = nullptr;
  std::uint32_t most = 0;
  for (WorkerSlot& slot : shape_.slots) {
    const std::uint32_t size = slot.range.load().size();
    if (&slot == &slot_ || size <= most) continue;
    most = size;
    victim = &slot;
  }
  if (victim == nullptr) return false;
  const Span taken = victim->range.take_half();
  passed(WorkerStep::stole);
  if (!is_valid(taken)) return !taken.empty();  // look again: there may be others
  slot_.range.put(taken);
  return true;
}

std::uint64_t MapWorker::batch_left(WorkerSlot& slot) const noexcept {
  const auto stage = slot.stage.load(std::memory_order_acquire);
  Run* const run = slot.current_run();
  if (stage != WorkerStage::working || run == nullptr) return 0;
  const std::uint64_t done = run->done.load(std::memory_order_acquire);
  const std::uint64_t limit = slot.limit.load(std::memory_order_acquire);
  return limit > done && limit <= item_count() ? limit - done : 0;
}

/// Whether there is somebody who can give some of a batch, which has been asked for then.
bool MapWorker::ask_for_share() {
  WorkerSlot* victim = nullptr;
  std::uint64_t most = 1;  // the item that is being run cannot be given
  for (WorkerSlot& slot : shape_.slots) {
    if (&slot == &slot_) continue;
    const std::uint64_t left = batch_left(slot);
    if (left <= most) continue;
    most = left;
    victim = &slot;
  }
  if (victim == nullptr) return false;
  victim->interrupted.fetch_or(kShare, std::memory_order_acq_rel);
  return true;
}

// ---- Running them ----

/// False: there is no room for another run.
bool MapWorker::note_batch(Span batch) {
  Run* run = slot_.current_run();
  if (run == nullptr || run->done.load(std::memory_order_relaxed) != batch.begin) {
    const std::uint32_t used = slot_.runs_used.load(std::memory_order_relaxed);
    if (used >= kMostRuns) return false;
    run = &slot_.runs[used];
    run->begin.store(batch.begin, std::memory_order_relaxed);
    run->done.store(batch.begin, std::memory_order_relaxed);
    // Until the limit is set the new run has no batch, whatever the old limit.
    slot_.limit.store(0, std::memory_order_release);
    slot_.runs_used.store(used + 1, std::memory_order_release);
    passed(WorkerStep::opened_run);
    use_item_stream(&run->done, shape_.seed);
  }
  slot_.limit.store(batch.end, std::memory_order_release);
  passed(WorkerStep::set_limit);
  return true;
}

void MapWorker::run_batch(Span batch) {
  populate_values(batch);
  const std::int64_t began = now_ns();
  start_clock(began);
  if (shape_.timing.started != nullptr) on_timed();
  Run& run = *slot_.current_run();
  while (run.done.load(std::memory_order_relaxed) < batch.end &&
         slot_.interrupted.load(std::memory_order_relaxed) == 0 && !is_held()) {
    try {
      run_items({static_cast<std::uint32_t>(run.done.load(std::memory_order_relaxed)), batch.end});
    } catch (...) {
      process_.end_if_copied();
      if (is_held()) detail::wait_while_held(*shape_.timing.held);
      note_failure(began);
      start_clock(now_ns());
      run.done.fetch_add(1, std::memory_order_release);
      passed(WorkerStep::counted_failure);
    }
  }
  if (shape_.timing.held != nullptr) shape_.timing.started->store(0);
  passed(WorkerStep::ended_batch);
  const std::int64_t elapsed = now_ns() - began;
  const std::uint64_t done = run.done.load(std::memory_order_relaxed);
  const std::size_t items = done - batch.begin;
  items_done_ += items;
  slot_.working.fetch_add(elapsed, std::memory_order_relaxed);
  if (batch.size() == 1 && elapsed > kWorthNoting) note_slow(batch.begin, elapsed);
  size_next_batch(items, elapsed);
  hand_back({static_cast<std::uint32_t>(done), batch.end});
}

bool MapWorker::is_held() const noexcept {
  return shape_.timing.held != nullptr && shape_.timing.held->load() != 0;
}

void MapWorker::start_clock(std::int64_t now) noexcept {
  const ItemTiming& timing = shape_.timing;
  if (timing.started != nullptr) timing.started->store(now + timing.allowance);
}

/// Asks for the pages of results before they are written, many at once: one by one each of them
/// costs 1.5 us more.
void MapWorker::populate_values(Span batch) {
  const std::size_t each = shape_.body.value_size();
  const std::size_t begin = batch.begin * each;
  const std::size_t end = batch.end * each;
  constexpr std::size_t kWorthAsking = std::size_t{16} << 10;
  if (end - begin < kWorthAsking || (begin >= values_begin_ && end <= values_end_)) return;
  // What follows is likely to be ours, unless somebody steals it.
  const std::size_t ours = std::max<std::size_t>(slot_.range.load().end, batch.end) * each;
  const std::size_t from = begin >= values_begin_ && begin <= values_end_ ? values_end_ : begin;
  const std::size_t step = (from / os::kSharedBlock + 2) * os::kSharedBlock;  // a whole block
  const std::size_t until =
      std::min({std::max(end, step), std::max(end, ours), shape_.values.size()});
  populate_values(from, until);
  if (from != values_end_) values_begin_ = from;
  values_end_ = until;
}

void MapWorker::populate_values(std::size_t begin, std::size_t end) {
  if (shape_.values.populate(begin, end - begin) != 0) throw std::bad_alloc{};
}

void MapWorker::run_items(Span batch) {
  const detail::ItemBatch items(batch.begin, batch.end,
                                {.done = &slot_.current_run()->done,
                                 .interrupted = &slot_.interrupted,
                                 .started = shape_.timing.started,
                                 .written = &slot_.written,
                                 .allowance = shape_.timing.allowance,
                                 .held = shape_.timing.held,
                                 .process = process_,
                                 .stretch = shape_.options.chunk == 0 ? kLongestStretch : 1});
  shape_.body.run(items, shape_.values.data(), records_);
}

void MapWorker::hand_back(Span rest) {
  if (!rest.empty()) {
    slot_.limit.store(rest.begin, std::memory_order_release);
    passed(WorkerStep::lowered_limit);
    slot_.range.put_back(rest);
    passed(WorkerStep::handed_back);
  }
  if (slot_.interrupted.load(std::memory_order_relaxed) == 0) return;
  slot_.interrupted.fetch_and(kStop, std::memory_order_acq_rel);
  shape_.table.announce();
}

void MapWorker::size_next_batch(std::size_t items, std::int64_t elapsed) {
  if (shape_.options.chunk > 0) {
    batch_size_ = static_cast<std::uint32_t>(std::min<std::size_t>(shape_.options.chunk, 1u << 30));
    return;
  }
  if (items == 0) return;
  const std::int64_t each = std::max<std::int64_t>(1, elapsed / static_cast<std::int64_t>(items));
  const std::int64_t fitting = std::max<std::int64_t>(1, kBatchTime / each);
  const std::int64_t most = std::int64_t{batch_size_} * kMostGrowth;
  batch_size_ = static_cast<std::uint32_t>(std::min<std::int64_t>({fitting, most, 1 << 30}));
}

void MapWorker::note_slow(std::size_t item, std::int64_t elapsed) {
  auto shorter = [](const SlowEntry& a, const SlowEntry& b) {
    return a.elapsed.load(std::memory_order_relaxed) < b.elapsed.load(std::memory_order_relaxed);
  };
  SlowEntry& least = *std::min_element(slot_.slowest.begin(), slot_.slowest.end(), shorter);
  if (least.elapsed.load(std::memory_order_relaxed) >= elapsed) return;
  least.item.store(item, std::memory_order_relaxed);
  least.elapsed.store(elapsed, std::memory_order_relaxed);
}

// ---- Telling how it went ----

std::uint64_t MapWorker::errors_written() const noexcept {
  if (where_ == Where::parent) return 0;
  const off_t at = ::lseek(STDERR_FILENO, 0, SEEK_CUR);
  return at > 0 ? static_cast<std::uint64_t>(at) : 0;
}

/// In a handler. Throws bad_alloc when there is no memory even for that.
void MapWorker::note_failure(std::int64_t began) { add_failure(failure_note(), began); }

std::vector<std::byte> MapWorker::failure_note() const {
  return encode(note_in_flight()).value_or(std::vector<std::byte>{});
}

void MapWorker::add_failure(std::span<const std::byte> note, std::int64_t began) {
  Run* const run = slot_.current_run();
  const std::uint64_t item = run != nullptr ? run->done.load(std::memory_order_relaxed) : 0;
  records_.begin(item, RecordKind::failure);
  const FailureHead head{slot_.last_failure.load(std::memory_order_relaxed),
                         slot_.errors_at_batch.load(std::memory_order_relaxed), errors_written(),
                         now_ns() - began};
  std::byte* const to = records_.bytes().extend(sizeof head + note.size());
  if (to == nullptr) throw std::bad_alloc{};
  std::memcpy(to, &head, sizeof head);
  if (!note.empty()) std::memcpy(to + sizeof head, note.data(), note.size());
  slot_.errors_at_batch.store(head.errors_end, std::memory_order_relaxed);
  failed_once_ = true;
  slot_.written.store(records_.end_record(), std::memory_order_release);
  passed(WorkerStep::wrote_failure);
  slot_.last_failure.store(records_.offset(), std::memory_order_release);
  passed(WorkerStep::linked_failure);
  count_failure();
  if (shape_.tell_failures) tell_parent();
}

void MapWorker::count_failure() noexcept {
  if (shape_.stop_at_failures == 0) return;
  const std::uint64_t failures = shape_.table.failures.fetch_add(1, std::memory_order_acq_rel) + 1;
  if (failures < shape_.stop_at_failures) return;
  shape_.table.stop.store(1, std::memory_order_release);
  for (WorkerSlot& slot : shape_.slots) {
    slot.interrupted.fetch_or(kStop, std::memory_order_acq_rel);
  }
  shape_.table.announce();
}

void MapWorker::tell_parent() const noexcept {
  const std::uint64_t one = 1;
  // Full or gone: the parent looks anyway.
  [[maybe_unused]] const auto written = ::write(shape_.notice_fd, &one, sizeof one);
}

}  // namespace work
}  // namespace tine
