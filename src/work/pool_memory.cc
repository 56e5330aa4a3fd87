// SPDX-License-Identifier: MIT
#include "work/pool_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "os/life_word.h"
#include "os/own_fds.h"
#include "os/pages.h"

namespace tine::work {

namespace {

constexpr std::uint32_t kHasPages = std::uint32_t{1} << 31;
constexpr std::size_t kSmallChunk = 256;
constexpr std::size_t kLargeChunk = std::size_t{64} << 10;
/// What is larger goes into large chunks.
constexpr std::size_t kMostInSmall = std::size_t{16} << 10;

/// The parts of a region, one after the other, each at the beginning of a page.
class Parts {
 public:
  explicit Parts(std::byte* at) noexcept : begin_(at), at_(at) {}
  template <class T>
  std::span<T> next(std::size_t count) noexcept {
    auto* const first = reinterpret_cast<T*>(at_);
    at_ += os::pages_for(count * sizeof(T));
    return {first, count};
  }
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - begin_); }

 private:
  std::byte* begin_;
  std::byte* at_;
};

}  // namespace

// ---- Tasks ----

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

// ---- Chunks ----

bool ChunkArea::claim(std::size_t first, std::size_t count, std::uint32_t owner,
                      std::size_t& taken) noexcept {
  for (taken = 0; taken < count; ++taken) {
    auto& word = owners_[first + taken];
    std::uint32_t seen = word.load(std::memory_order_relaxed);
    if ((seen & ~kHasPages) != 0) return false;
    if (!word.compare_exchange_strong(seen, (seen & kHasPages) | owner)) return false;
  }
  return true;
}

void ChunkArea::unclaim(std::size_t first, std::size_t count) noexcept {
  for (std::size_t i = first; i < first + count; ++i) {
    owners_[i].fetch_and(kHasPages, std::memory_order_release);
  }
}

bool ChunkArea::populate(std::size_t first, std::size_t count) noexcept {
  const auto lacks = [&](std::size_t i) { return (owners_[i].load() & kHasPages) == 0; };
  std::size_t begin = first;
  while (begin < first + count && !lacks(begin)) ++begin;
  if (begin == first + count) return true;
  const std::size_t size = (first + count - begin) * chunk_;
  if (bytes_.populate(begin * chunk_, size) != 0) return false;
  // Small chunks share pages: only the run's own are marked.
  for (std::size_t i = begin; i < first + count; ++i) owners_[i].fetch_or(kHasPages);
  return true;
}

std::optional<std::uint32_t> ChunkArea::take(std::uint32_t slot, std::size_t size,
                                             std::size_t from) noexcept {
  const std::size_t wanted = count(size);
  for (std::size_t first = from, looked = 0; looked < owners_.size();) {
    if (first + wanted > owners_.size()) {
      looked += owners_.size() - std::min(first, owners_.size()) + 1;
      first = 0;
      if (wanted > owners_.size()) break;
      continue;
    }
    // First of all, so that whoever cleans up after us looks that far.
    auto used = used_->load();
    const auto end = static_cast<std::uint32_t>(first + wanted);
    while (used < end && !used_->compare_exchange_weak(used, end)) {
    }
    std::size_t taken = 0;
    if (claim(first, wanted, slot + 1, taken)) {
      if (populate(first, wanted)) return static_cast<std::uint32_t>(first);
      unclaim(first, wanted);
      return std::nullopt;
    }
    unclaim(first, taken);
    first += taken + 1;
    looked += taken + 1;
  }
  return std::nullopt;
}

void ChunkArea::free(std::uint32_t slot, std::uint32_t first, std::size_t size,
                     std::size_t kept) noexcept {
  const std::size_t chunks = count(size);
  if (first > owners_.size() || chunks > owners_.size() - first) return;
  const auto is_its = [&](const std::atomic<std::uint32_t>& owner) {
    return (owner.load(std::memory_order_relaxed) & ~kHasPages) == slot + 1;
  };
  const auto owners = owners_.subspan(first, chunks);
  if (!std::ranges::all_of(owners, is_its)) return;  // no honest worker says that
  // Small ones share their pages.
  const bool given_back =
      chunk_ % os::kPage == 0 && size > kept &&
      ::madvise(bytes_.data() + first * chunk_, chunks * chunk_, MADV_REMOVE) == 0;
  for (auto& owner : owners) owner.store(given_back ? 0 : kHasPages, std::memory_order_release);
}

void ChunkArea::free_all(std::uint32_t slot, std::uint32_t kept, std::size_t kept_size) noexcept {
  const std::size_t used = std::min<std::size_t>(used_->load(), owners_.size());
  const std::size_t kept_end = kept + count(kept_size);
  for (std::size_t i = 0; i < used; ++i) {
    if (kept_size > 0 && i >= kept && i < kept_end) continue;
    if ((owners_[i].load(std::memory_order_relaxed) & ~kHasPages) != slot + 1) continue;
    owners_[i].fetch_and(kHasPages);
  }
}

std::span<std::byte> ChunkArea::at(std::uint32_t first, std::size_t size) const noexcept {
  const std::size_t begin = std::size_t{first} * chunk_;
  if (begin > bytes_.size() || size > bytes_.size() - begin) return {};
  return {bytes_.data() + begin, size};
}

// ---- All of it ----

/// How much there is of everything. Where address space is limited there is less of it.
struct PoolMemory::Plan {
  std::size_t slots = std::size_t{1} << 22;
  std::size_t entries = std::size_t{1} << 20;
  std::size_t small = std::size_t{1} << 22;
  std::size_t large = std::size_t{1} << 20;

  static constexpr std::size_t kLeastSlots = 1024;
  void halve() noexcept {
    for (std::size_t* const count : {&slots, &entries, &small, &large}) *count /= 2;
  }
  [[nodiscard]] std::size_t returned() const noexcept {
    return std::min(entries, std::size_t{1} << 16);
  }
};

/// Gives the size of all; nullptr: nothing but that.
std::size_t PoolMemory::lay_out(std::byte* at, const Plan& plan, std::size_t seats) noexcept {
  using Word32 = std::atomic<std::uint32_t>;
  using Word64 = std::atomic<std::uint64_t>;
  Parts parts(at);
  table_ = parts.next<PoolTable>(1).data();
  seats_ = parts.next<PoolSeat>(seats);
  for (std::size_t i = 0; i < kQueues; ++i) {
    entries_[i] = parts.next<Word64>(i == kReturned ? plan.returned() : plan.entries);
  }
  slots_ = parts.next<TaskSlot>(plan.slots);
  put_at_ = parts.next<Word64>(plan.slots);
  const auto small_owners = parts.next<Word32>(plan.small);
  const auto large_owners = parts.next<Word32>(plan.large);
  const os::SharedPart small(parts.next<std::byte>(plan.small * kSmallChunk));
  const os::SharedPart large(parts.next<std::byte>(plan.large * kLargeChunk));
  if (at != nullptr) {
    areas_ = {ChunkArea(small_owners, small, kSmallChunk, table_->chunks_used[0]),
              ChunkArea(large_owners, large, kLargeChunk, table_->chunks_used[1])};
  }
  return parts.size();
}

std::expected<std::unique_ptr<PoolMemory>, Error> PoolMemory::create(std::size_t seats,
                                                                     Reach reach) {
  auto memory = std::make_unique<PoolMemory>();
  for (Plan plan; plan.slots >= Plan::kLeastSlots; plan.halve()) {
    const std::size_t size = memory->lay_out(nullptr, plan, seats);
    std::optional<Error> refused;
    if (reach == Reach::any_process) {
      auto made = os::SharedRegion::reserve_file(size, size);
      if (made) {
        memory->region_ = std::move(made->region);
        memory->file_ = std::move(made->file);
        os::note_own(memory->file_.get());
      } else {
        refused = std::move(made.error());
      }
    } else if (auto region = os::SharedRegion::reserve(size, size)) {
      memory->region_ = std::move(*region);
    } else {
      refused = std::move(region.error());
    }
    if (refused && plan.slots / 2 < Plan::kLeastSlots) return std::unexpected(*refused);
    if (refused) continue;
    memory->lay_out(memory->region_.data(), plan, seats);
    break;
  }
  // All else is zero, which is what it holds when it is new.
  const auto head = static_cast<std::size_t>(reinterpret_cast<std::byte*>(memory->slots_.data()) -
                                             memory->region_.data());
  if (memory->region_.populate(0, std::min(sizeof(PoolTable), head)) != 0) {
    return std::unexpected(
        Error{ErrorKind::out_of_memory, ENOMEM, Stage::prepare, "the memory of a pool", {}});
  }
  new (memory->table_) PoolTable;
  return memory;
}

/// The size tells by which plan it was made.
std::expected<std::unique_ptr<PoolMemory>, Error> PoolMemory::attach(Fd file) {
  auto region = os::SharedRegion::attach(file.get());
  if (!region) return std::unexpected(region.error());
  auto memory = std::make_unique<PoolMemory>();
  memory->region_ = std::move(*region);
  memory->file_ = std::move(file);
  os::note_own(memory->file_.get());
  for (Plan plan; plan.slots >= Plan::kLeastSlots; plan.halve()) {
    if (memory->lay_out(nullptr, plan, kMostSeats) != memory->region_.size()) continue;
    memory->lay_out(memory->region_.data(), plan, kMostSeats);
    return memory;
  }
  return std::unexpected(
      Error{ErrorKind::invalid_argument, 0, Stage::prepare, "the memory of a pool", {}});
}

// ---- Code ----

std::expected<void, Error> PoolMemory::add_code(Code code) {
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(
      table_->host_module_count.load(std::memory_order_relaxed), table_->host_modules.size()));
  // The latest first: a library may have come where another was.
  for (std::uint32_t i = count; i-- > 0;) {
    const HostModule& known = table_->host_modules[i];
    if (address >= known.begin && address < known.end) return {};
  }
  for (const Module& module : modules_here()) {
    if (!module.contains(address)) continue;
    if (!module.has_build_id || count == table_->host_modules.size()) break;
    HostModule& added = table_->host_modules[count];
    added = {module.base, module.begin, module.end, module.build_id, {}};
    if (module.path.size() < added.path.size()) std::ranges::copy(module.path, added.path.data());
    table_->host_module_count.store(count + 1, std::memory_order_release);
    return {};
  }
  auto place = work::place_of(code);  // says what is wrong
  return std::unexpected(place ? Error{ErrorKind::not_found, 0, Stage::prepare, "a function",
                                       "tasks have spoken of 64 libraries already"}
                               : place.error());
}

void PoolMemory::learn_code(const PoolMemory& other) noexcept {
  if (table_->host_module_count.load(std::memory_order_relaxed) != 0) return;
  const std::uint32_t count = other.table().host_module_count.load(std::memory_order_acquire);
  table_->host_modules = other.table().host_modules;
  table_->host_module_count.store(count, std::memory_order_release);
}

std::expected<CodePlace, Error> PoolMemory::place_of(Code hosts) const {
  const auto address = reinterpret_cast<std::uintptr_t>(hosts);
  const std::size_t count = std::min<std::size_t>(
      table_->host_module_count.load(std::memory_order_acquire), table_->host_modules.size());
  for (std::size_t i = count; i-- > 0;) {
    const HostModule& module = table_->host_modules[i];
    if (address < module.begin || address >= module.end) continue;
    const auto* const id = reinterpret_cast<const char*>(module.build_id.data());
    const auto end = std::ranges::find(module.path, '\0');
    return CodePlace{
        {id, module.build_id.size()}, address - module.base, {module.path.begin(), end}};
  }
  return std::unexpected(
      Error{ErrorKind::not_found, 0, Stage::prepare, "a function", "it is in no known module"});
}

// ---- Queues ----

int PoolMemory::provide_slots(std::size_t first, std::size_t count) const noexcept {
  const auto provide = [&](auto all) {
    constexpr std::size_t kEach = sizeof(all[0]);
    return os::SharedPart(std::as_writable_bytes(all)).populate(first * kEach, count * kEach);
  };
  const int refused = provide(slots_);
  return refused != 0 ? refused : provide(put_at_);
}

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

// ---- Bytes ----

void PoolMemory::set_share(std::size_t share, std::size_t of) noexcept {
  for (std::size_t i = 0; i < areas_.size(); ++i) {
    const std::size_t base = areas_[i].chunks() / of * share;
    cursors_[i] = {base, base, 0};
  }
}

std::optional<BytesAt> PoolMemory::take_chunks(std::uint32_t slot, std::size_t size) noexcept {
  if (size == 0) return BytesAt{};
  if (size > BytesAt::kMostBytes) return std::nullopt;
  const std::size_t i = size <= kMostInSmall ? 0 : 1;
  Cursor& cursor = cursors_[i];
  // Now and then from the beginning: what has been freed there has its pages already.
  constexpr std::uint32_t kSteps = 256;
  if (++cursor.steps % kSteps == 0 || i == 1) cursor.next = cursor.base;
  const auto first = areas_[i].take(slot, size, cursor.next);
  if (!first) return std::nullopt;
  cursor.next = *first + areas_[i].count(size);
  return BytesAt(size, *first, i + 1);
}

std::span<std::byte> PoolMemory::arguments(TaskSlot& task) const noexcept {
  const BytesAt at = task.arguments;
  if (at.area != 0 && at.area <= areas_.size()) return areas_[at.area - 1].at(at.first, at.size);
  return {task.arguments_at(at.size), std::min<std::size_t>(at.size, TaskSlot::kNear)};
}

std::span<std::byte> PoolMemory::result(TaskSlot& task) const noexcept {
  const BytesAt at = task.result;
  if (at.area != 0 && at.area <= areas_.size()) return areas_[at.area - 1].at(at.first, at.size);
  return {task.result_at(at.size), std::min<std::size_t>(at.size, TaskSlot::kNear)};
}

std::span<std::byte> PoolMemory::chunk(const BytesAt& at) const noexcept {
  if (at.area == 0 || at.area > areas_.size()) return {};
  return areas_[at.area - 1].at(at.first, at.size);
}

void PoolMemory::free_bytes(std::uint32_t slot, const BytesAt& at) noexcept {
  if (at.area == 0 || at.area > areas_.size()) return;
  areas_[at.area - 1].free(slot, at.first, at.size, kept_);
  Cursor& cursor = cursors_[at.area - 1];
  if (at.first >= cursor.base && at.first < cursor.next) cursor.next = at.first;
}

void PoolMemory::free_all_but(std::uint32_t slot, const BytesAt& kept) noexcept {
  for (std::uint32_t i = 0; i < areas_.size(); ++i) {
    areas_[i].free_all(slot, kept.first, kept.area == i + 1 ? kept.size : 0);
  }
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
