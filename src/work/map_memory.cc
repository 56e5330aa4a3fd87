// SPDX-License-Identifier: MIT
#include "work/map_memory.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "os/system_error.h"
#include "os/young_child.h"
#include "work/call_channel.h"
#include "work/spares.h"

namespace tine::work {

namespace {

/// Results of so many bytes are copied: cheaper than a mapping of their own.
constexpr std::size_t kFewBytes = std::size_t{64} << 10;

/// Of the last map that has come to its end in order, without anything in its arenas.
constinit Spares<os::SharedRegion, 1> spare_map_region;

std::expected<os::SharedRegion, Error> take_region(std::size_t most, std::size_t least) {
  // One of another size is for a map with another number of workers: it goes, for this is the usual
  // number from now on.
  if (auto spare = spare_map_region.take(); spare && spare->size() == most) {
    return std::move(*spare);
  }
  return os::SharedRegion::reserve(most, least);
}

}  // namespace

std::expected<MapMemory, Error> MapMemory::create(std::size_t seats, Reach reach,
                                                  std::size_t value_bytes) {
  MapMemory memory;
  memory.reach_ = reach;
  memory.value_bytes_ = value_bytes;
  if (auto provided = memory.provide_values(); !provided) {
    return std::unexpected(provided.error());
  }
  const std::size_t mappings = reach == Reach::own ? seats : 1;
  for (std::size_t i = 0; i < mappings; ++i) {
    if (auto added = memory.add_mapping(seats / mappings); !added) {
      return std::unexpected(added.error());
    }
  }
  return memory;
}

bool MapMemory::copies_values() const noexcept { return is_strict() || value_bytes_ <= kFewBytes; }

std::expected<void, Error> MapMemory::provide_values() {
  if (value_bytes_ == 0) return {};
  if (value_bytes_ <= kFewBytes) {
    void* const block = std::aligned_alloc(os::kPage, os::pages_for(value_bytes_));
    if (block == nullptr) return os::failed(Stage::prepare, ENOMEM, "the results of a map");
    std::memset(block, 0, value_bytes_);
    values_ = {static_cast<std::byte*>(block), [](std::byte* bytes) { std::free(bytes); }};
    return {};
  }
  auto values = os::SharedRegion::reserve(value_bytes_, value_bytes_);
  if (!values) return std::unexpected(values.error());
  const auto owner = std::make_shared<os::SharedRegion>(std::move(*values));
  values_ = {owner, owner->data()};
  return {};
}

MapMemory MapMemory::over(MapTable& table, std::span<WorkerSlot> slots) {
  MapMemory memory;
  memory.tables_.push_back(&table);
  for (WorkerSlot& slot : slots) memory.slots_.push_back(&slot);
  return memory;
}

/// A table, slots and arenas for so many workers; also room for results that are copied.
std::expected<void, Error> MapMemory::add_mapping(std::size_t seats) {
  constexpr std::size_t kArena = std::size_t{64} << 30;  // of address space
  constexpr std::size_t kLeastArena = std::size_t{64} << 10;
  const std::size_t head = os::pages_for(sizeof(MapTable) + seats * sizeof(WorkerSlot));
  const std::size_t values = is_strict() ? os::pages_for(value_bytes_) : kFewBytes;
  const std::size_t fixed = head + values;
  const std::size_t most = fixed + seats * kArena;
  const std::size_t least = fixed + seats * kLeastArena;
  auto region = is_strict() ? os::SharedRegion::reserve(most, least) : take_region(most, least);
  if (!region) return std::unexpected(region.error());
  is_whole_ = region->size() == most;
  std::byte* const at = region->data();
  tables_.push_back(new (at) MapTable);
  const std::size_t arena = os::pages_within((region->size() - fixed) / seats);
  for (std::size_t i = 0; i < seats; ++i) {
    slots_.push_back(new (at + sizeof(MapTable) + i * sizeof(WorkerSlot)) WorkerSlot);
    arenas_.emplace_back(std::span(at + fixed + i * arena, arena));
  }
  if (copies_values()) values_beside_.emplace_back(std::span(at + head, value_bytes_));
  regions_.push_back(std::move(*region));
  return {};
}

os::SharedPart MapMemory::values_of(std::size_t place) const noexcept {
  if (copies_values()) return values_beside_[is_strict() ? place : 0];
  return os::SharedPart(std::span(values_.get(), value_bytes_));
}

TINE_YOUNG_CHILD void MapMemory::keep_only(std::size_t place) noexcept {
  if (!is_strict()) return;
  spare_map_region.drop_inherited();
  CallChannel::drop_inherited_spares();
  values_.reset();
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    if (i != place) regions_[i] = os::SharedRegion();
  }
}

void MapMemory::allow_reuse() noexcept {
  if (is_strict() || !is_whole_ || regions_.empty()) return;
  tables_.clear();
  slots_.clear();
  arenas_.clear();
  values_beside_.clear();
  spare_map_region.give(std::move(regions_.front()));
  regions_.clear();
}

void MapMemory::adopt_values(std::size_t place, std::size_t begin, std::size_t end) const noexcept {
  if (!copies_values() || end <= begin) return;
  std::memcpy(values_.get() + begin, values_of(place).data() + begin, end - begin);
}

}  // namespace tine::work
