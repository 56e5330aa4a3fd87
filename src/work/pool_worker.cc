// SPDX-License-Identifier: MIT
#include "work/pool_worker.h"

#include <sched.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "os/futex.h"
#include "os/life_word.h"
#include "os/relax.h"
#include "tine/codec.h"
#include "work/chunk_records.h"
#include "work/failure_note.h"
#include "work/item_random.h"
#include "work/memory_limit.h"

namespace tine::work {

using detail::now_ns;

namespace {

/// Tasks that are shorter than this are taken several at a time...
constexpr std::uint32_t kShort = 2'000;
/// ...as many as this, or as take so long. The clock is read that rarely.
constexpr std::uint64_t kMostAtOnce = 32;
constexpr std::uint64_t kRangeTime = 20'000;
constexpr std::int64_t kSpin = 20'000;
/// A part of a map that has taken so long may be worth another worker.
constexpr std::int64_t kWorthWaking = 5'000;
constexpr std::int64_t kDoze = 1'000'000;
/// The keeper looks at the memory of who is awake about that often.
constexpr std::int64_t kBetweenLooks = 50'000'000;
constexpr int kDozes = 10;
constexpr int kMostCredit = 8;
/// A worker that has written so much to stderr is replaced: writing ends at twice that.
constexpr std::uint64_t kMostErrors = std::uint64_t{8} << 20;

std::uint64_t errors_written() noexcept {
  const off_t at = ::lseek(STDERR_FILENO, 0, SEEK_CUR);
  return at > 0 ? static_cast<std::uint64_t>(at) : 0;
}

std::chrono::steady_clock::time_point time_at(std::int64_t ns) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns));
}

}  // namespace

void (*at_pool_step)(PoolStep step) noexcept = nullptr;

/// What a task writes its value to.
class PoolWorker::Output final : public detail::TaskOutput {
 public:
  Output(PoolWorker& worker, std::uint32_t slot, TaskSlot& task) noexcept
      : TaskOutput(task.tiny_result, task.near_result), worker_(worker), slot_(slot), task_(task) {}

  void publish() noexcept override {
    published_ = true;
    if (far_.area == 0) task_.result = {size(), 0, 0};
    task_.kind = ResultKind::value;
    // What the task has printed is out before anybody knows that it is done.
    if (::__fpending(stdout) != 0) ::fflush(stdout);
    passed(PoolStep::placed_result);
    worker_.seat_.done.store(worker_.seat_.done.load(std::memory_order_relaxed) + 1,
                             std::memory_order_relaxed);
    worker_.conclude(task_, TaskState::done);
  }
  detail::MapPart begin_part(std::span<const std::byte>& arguments) override {
    std::memcpy(&part_, detail::take_bytes(arguments, sizeof part_).data(), sizeof part_);
    const auto map = worker_.find_map(part_);
    return {map.inputs(), map.head().count};
  }
  void run_part(detail::MapBody& body) override { worker_.run_part(part_, task_.queue, body); }
  [[nodiscard]] bool published() const noexcept { return published_; }

 private:
  std::byte* far(std::size_t size) override {
    worker_.seat_.allocating.store(1, std::memory_order_relaxed);
    const auto at = worker_.memory_.take_bytes(slot_, size, TaskSlot::kNear);
    if (!at) throw std::bad_alloc{};
    far_ = *at;
    task_.result = *at;
    return worker_.memory_.result(task_).data();
  }

  PoolWorker& worker_;
  std::uint32_t slot_;
  TaskSlot& task_;
  BytesAt far_{};
  PartHead part_{};
  bool published_ = false;
};

PoolWorker::PoolWorker(PoolMemory& memory, const PoolOptions& options, std::size_t seat,
                       int keeper_fd)
    : memory_(memory),
      table_(memory.table()),
      options_(options),
      place_(static_cast<std::uint32_t>(seat)),
      seat_(memory.seats()[seat]),
      keeper_fd_(keeper_fd),
      born_(now_ns()) {
  memory_.set_share(seat + 1, memory.seats().size() + 1);
}

int PoolWorker::run() noexcept {
  if (!initialize()) return 1;
  try {
    while (const auto slot = next_task()) run_task(*slot);
  } catch (const std::bad_alloc&) {
    seat_.stage.store(PoolStage::out_of_memory, std::memory_order_release);
    return 1;
  }
  passed(PoolStep::ending);
  seat_.stage.store(PoolStage::ended, std::memory_order_release);
  return 0;
}

bool PoolWorker::initialize() {
  passed(PoolStep::started);
  try {
    if (options_.initializer != nullptr) {
      seat_.stage.store(PoolStage::initializing, std::memory_order_release);
      if (options_.init_timeout.count() > 0) {
        set_deadline(deadline_after(now_ns(), options_.init_timeout.count()));
      }
      options_.initializer();
    }
  } catch (...) {
    const auto note = encoded_note(note_in_flight(), seat_.note.size());
    std::memcpy(seat_.note.data(), note.data(), note.size());
    seat_.note_size = note.size();
    seat_.stage.store(PoolStage::init_failed, std::memory_order_release);
    return false;
  }
  seat_.stage.store(PoolStage::working, std::memory_order_release);
  if (options_.init_timeout.count() > 0) seat_.deadline.store(0);
  table_.searching.add(place_);
  passed(PoolStep::initialized);
  return true;
}

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
    if (take_range()) continue;
    if (const auto slot = steal()) {
      found_tasks(false);
      return slot;
    }
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
  __builtin_prefetch(&task.timeout, 1);  // where attempts are counted
  seat_.current.store(slot, std::memory_order_release);
  passed(PoolStep::named_task);
  if (!task.change(TaskState::queued, TaskState::running, place_)) return false;
  passed(PoolStep::took_task);
  const std::uint64_t begun = seat_.begun.load(std::memory_order_relaxed) + 1;
  // Who waits for room counts by this, unless it goes by the queue's head.
  seat_.begun.store(
      begun, options_.max_queued > 0 ? std::memory_order_seq_cst : std::memory_order_relaxed);
  if (table_.room_wanted.load() != 0 && table_.room_wanted.exchange(0) != 0) {
    table_.room.fetch_add(1);
    os::futex_wake_all(os::futex_word(table_.room));
  }
  // What is meant for us has to wait now, unless the keeper finds it somebody else.
  const std::uint32_t mail = seat_.mail.load();
  if (mail != kNoSlot && mail != slot) call_keeper();
  while (seat_.hold.load() != 0) os::futex_wait(os::futex_word(seat_.hold), 1);
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
    if (where.head.compare_exchange_strong(head, end)) return true;
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
  const std::uint64_t errors = errors_written();
  seat_.errors_at_task.store(errors, std::memory_order_relaxed);
  if (std::exchange(errors_, errors) != errors) call_keeper();  // which passes them on
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
  if (spin()) return true;
  const bool spun = clock_ - began >= kSpin;
  const bool dozes = dozes_ < kDozes;
  const std::int64_t idle = idle_limit();
  const bool limited = !dozes && idle > 0;
  const std::int64_t since = clock_;
  const bool rung = park(dozes ? kDoze : limited ? idle : -1);
  clock_ = now_ns();
  // It looks how much memory we have, while we are awake.
  if (options_.memory > 0 && table_.keeper_asleep.load() > clock_ + kBetweenLooks) call_keeper();
  if (rung && clock_ - since < kSpin) judge_spinning(spun);
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
    if (memory_.entry(queue, head) == kNoSlot) continue;
    seen_in_ = queue;
    return true;
  }
  return seat_.mail.load(std::memory_order_relaxed) != kNoSlot ||
         seat_.retire.load(std::memory_order_relaxed) != 0 ||
         table_.closing.load(std::memory_order_relaxed) != Closing::no;
}

/// Only while there is a CPU for each that is awake, the host among them; and as long as that has
/// paid lately: whoever we have woken may want our CPU.
bool PoolWorker::spin() noexcept {
  const std::size_t alive = table_.alive.load(std::memory_order_relaxed);
  const std::size_t parked = table_.parked.count();
  clock_ = now_ns();
  store_if_new(table_.worker_cpu[place_], current_cpu());
  if (spin_credit_ <= 0 || alive - std::min(alive, parked) + 1 > table_.cpus) return has_news();
  const std::int64_t until = clock_ + kSpin;
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
  shared_trips_ = 0;
  if (limit != kDoze) move_after_ = kFirstMove;
  const std::uint32_t bell = seat_.bell.load();
  const bool dozes = limit == kDoze;
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
  // Who is no longer among the sleepers has been chosen to wake up.
  const bool chosen = !table_.parked.remove(place_);
  return chosen || has_news();
}

// ---- Running them ----

void PoolWorker::begin_attempt(TaskSlot& task) noexcept {
  if (task.timeout > 0) clock_ = now_ns();
  if (in_range_ == 0 || task.timeout > 0) attempt_began_ = clock_;
  if (in_range_ == 0) range_began_ = attempt_began_;
  if (task.timeout == 0) return;
  set_deadline(deadline_after(attempt_began_, task.timeout));
}

/// The keeper ends us then; it may sleep for longer than that.
void PoolWorker::set_deadline(std::int64_t deadline) noexcept {
  seat_.deadline.store(deadline);
  tell_deadline(deadline);
}

void PoolWorker::run_task(std::uint32_t slot) {
  TaskSlot& task = memory_.slots()[slot];
  begin_attempt(task);
  if ((task.rules & kUnasked) == 0 || ask_about_last(slot, task)) attempt(slot, task);
  if (task.timeout != 0 || seat_.deadline.load(std::memory_order_relaxed) != 0) {
    seat_.deadline.store(0);
  }
  seat_.allocating.store(0, std::memory_order_relaxed);
  const std::uint64_t ran = std::exchange(is_part_, false) ? std::exchange(items_, 0) : 1;
  tasks_ += ran;
  in_range_ += ran;
}

// ---- Parts of maps ----

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
  while (part.step()) {
    const std::uint64_t before = std::exchange(items_, part.items_done());
    const std::int64_t working = slot.working.load(std::memory_order_relaxed);
    // Now that it is known what items cost, others may be worth their waking.
    if (!woke_others && working > kWorthWaking) {
      note_cost(static_cast<std::uint64_t>(working) / std::max<std::uint64_t>(1, items_));
      woke_others = true;
      if (memory_.backlog() > 0) wake_another();
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
    while (seat_.hold.load() != 0) os::futex_wait(os::futex_word(seat_.hold), 1);
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

void PoolWorker::attempt(std::uint32_t slot, TaskSlot& task) {
  Output output(*this, slot, task);
  ++task.attempts;
  try {
    detail::here(task.thunk)(memory_.arguments(task), output);
  } catch (...) {
    if (!output.published()) attempt_failed(slot, task);
  }
}

/// In a handler.
void PoolWorker::attempt_failed(std::uint32_t slot, TaskSlot& task) {
  bool again = false;
  task.kind = ResultKind::out_of_memory;
  if (seat_.allocating.load(std::memory_order_relaxed) != 0) {
    memory_.free_all_but(slot, task.arguments);
  }
  task.result = {};
  try {
    FailureNote note = note_in_flight();
    note.stderr_tail = stderr_tail();
    note.elapsed = std::chrono::nanoseconds(now_ns() - attempt_began_);
    // Another process may have taken the task from us: then it is not ours to try again.
    again = task.load().state == TaskState::running && task.count_failure(note.cause, false) &&
            decide(task, note);
    if (!again) keep_note(slot, task, std::move(note));
  } catch (const std::bad_alloc&) {
    // Then that is what it failed by.
  }
  if (::__fpending(stdout) != 0) ::fflush(stdout);
  if (again) return hand_back(slot, task);
  seat_.failed.store(seat_.failed.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  conclude(task, TaskState::failed);
}

void PoolWorker::keep_note(std::uint32_t slot, TaskSlot& task, FailureNote note) {
  const auto bytes = encoded_note(std::move(note), std::size_t{1} << 20);
  const auto at = memory_.take_bytes(slot, bytes.size(), TaskSlot::kNear);
  if (!at) return;
  task.result = *at;
  std::memcpy(memory_.result(task).data(), bytes.data(), bytes.size());
  task.kind = ResultKind::failure;
}

/// The task has its outcome, unless somebody has given it another. We are about to look for more,
/// and that is known first: or whoever gets this result and submits anew would find nobody.
void PoolWorker::conclude(TaskSlot& task, TaskState state) noexcept {
  if (range_size() == 0) table_.searching.add(place_);
  auto before = task.conclude(TaskState::running, state, place_, place_);
  if (!before) before = task.change(TaskState::cancelling, TaskState::cancelled, place_, place_);
  passed(PoolStep::published);
  if (before && before->watched) call_keeper();
  // Who has just been woken may be waiting for this very CPU.
  const bool awaited = before && before->awaited;
  if (awaited && table_.host_cpu.load(std::memory_order_relaxed) == current_cpu()) give_way();
}

/// To a host that has been woken and may be waiting for this CPU. When that goes on, this worker
/// moves to another one: the scheduler would leave both here, with two switches a task.
void PoolWorker::give_way() noexcept {
  constexpr int kLastMove = 16384;
  cpu_set_t allowed;
  if (++shared_trips_ < move_after_ || ::sched_getaffinity(0, sizeof allowed, &allowed) != 0 ||
      CPU_COUNT(&allowed) < 2) {
    ::sched_yield();
    return;
  }
  shared_trips_ = 0;
  move_after_ = std::min(2 * move_after_, kLastMove);
  cpu_set_t others = allowed;
  if (const int here = ::sched_getcpu(); here >= 0)
    CPU_CLR(static_cast<std::size_t>(here), &others);
  if (::sched_setaffinity(0, sizeof others, &others) == 0) {
    ::sched_setaffinity(0, sizeof allowed, &allowed);
  }
}

std::string PoolWorker::stderr_tail() const {
  constexpr std::uint64_t kTail = 4096;
  const std::uint64_t until = errors_written();
  std::uint64_t from = seat_.errors_at_task.load(std::memory_order_relaxed);
  if (until <= from) return {};
  from = std::max(from, until - std::min(until, kTail));
  std::string text(static_cast<std::size_t>(until - from), '\0');
  const ssize_t got = ::pread(STDERR_FILENO, text.data(), text.size(), static_cast<off_t>(from));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

void PoolWorker::call_keeper() const noexcept {
  if (table_.keeper_called.exchange(1) != 0) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(keeper_fd_, &one, sizeof one);
}

void PoolWorker::wake_another() const noexcept {
  if (memory_.wake_worker() != PoolMemory::Waking::call_keeper) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(keeper_fd_, &one, sizeof one);
}

}  // namespace tine::work
