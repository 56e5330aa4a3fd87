// SPDX-License-Identifier: MIT
#include "work/map_memory.h"

#include <cstring>
#include <new>
#include <utility>

namespace tine::work {

std::expected<MapMemory, Error> MapMemory::create(std::size_t seats, Reach reach,
                                                  std::size_t value_bytes) {
  MapMemory memory;
  memory.reach_ = reach;
  memory.value_bytes_ = value_bytes;
  if (value_bytes > 0) {
    auto values = os::SharedRegion::reserve(value_bytes, value_bytes);
    if (!values) return std::unexpected(values.error());
    const auto owner = std::make_shared<os::SharedRegion>(std::move(*values));
    memory.values_ = {owner, owner->data()};
  }
  const std::size_t mappings = reach == Reach::own ? seats : 1;
  for (std::size_t i = 0; i < mappings; ++i) {
    if (auto added = memory.add_mapping(seats / mappings); !added) {
      return std::unexpected(added.error());
    }
  }
  return memory;
}

MapMemory MapMemory::over(MapTable& table, std::span<WorkerSlot> slots) {
  MapMemory memory;
  memory.tables_.push_back(&table);
  for (WorkerSlot& slot : slots) memory.slots_.push_back(&slot);
  return memory;
}

/// A table, slots and arenas for so many workers; when strict, also room for all results.
std::expected<void, Error> MapMemory::add_mapping(std::size_t seats) {
  constexpr std::size_t kArena = std::size_t{64} << 30;  // of address space
  constexpr std::size_t kLeastArena = std::size_t{64} << 10;
  const std::size_t head = os::pages_for(sizeof(MapTable) + seats * sizeof(WorkerSlot));
  const std::size_t values = is_strict() ? os::pages_for(value_bytes_) : 0;
  const std::size_t fixed = head + values;
  auto region = os::SharedRegion::reserve(fixed + seats * kArena, fixed + seats * kLeastArena);
  if (!region) return std::unexpected(region.error());
  std::byte* const at = region->data();
  tables_.push_back(new (at) MapTable);
  const std::size_t arena = os::pages_within((region->size() - fixed) / seats);
  for (std::size_t i = 0; i < seats; ++i) {
    slots_.push_back(new (at + sizeof(MapTable) + i * sizeof(WorkerSlot)) WorkerSlot);
    arenas_.emplace_back(std::span(at + fixed + i * arena, arena));
  }
  if (is_strict()) own_values_.emplace_back(std::span(at + head, value_bytes_));
  regions_.push_back(std::move(*region));
  return {};
}

os::SharedPart MapMemory::values_of(std::size_t place) const noexcept {
  return is_strict() ? own_values_[place] : os::SharedPart(std::span(values_.get(), value_bytes_));
}

void MapMemory::keep_only(std::size_t place) noexcept {
  if (!is_strict()) return;
  values_.reset();
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    if (i != place) regions_[i] = os::SharedRegion();
  }
}

void MapMemory::adopt_values(std::size_t place, std::size_t begin, std::size_t end) const noexcept {
  if (!is_strict() || end <= begin || value_bytes_ == 0) return;
  std::memcpy(values_.get() + begin, own_values_[place].data() + begin, end - begin);
}

}  // namespace tine::work
