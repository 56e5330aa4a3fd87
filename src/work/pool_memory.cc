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

int PoolMemory::provide_slots(std::size_t first, std::size_t count) const noexcept {
  const auto provide = [&](auto all) {
    constexpr std::size_t kEach = sizeof(all[0]);
    return os::SharedPart(std::as_writable_bytes(all)).populate(first * kEach, count * kEach);
  };
  const int refused = provide(slots_);
  return refused != 0 ? refused : provide(put_at_);
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

}  // namespace tine::work
