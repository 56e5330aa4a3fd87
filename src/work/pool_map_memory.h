// SPDX-License-Identifier: MIT
#pragma once

/// The memory of one map in a pool: what all maps have, and the items as bytes. Its results are
/// elsewhere, for they stay longer. Owner: a slot of the pool that is never queued.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "work/map_table.h"
#include "work/pool_memory.h"

namespace tine::work {

/// What stands at the beginning of the arguments of a worker's part; the function follows.
struct PartHead {
  std::uint32_t map;    ///< the map's slot
  std::uint32_t place;  ///< the worker's in this map
};

/// Where a worker's records begin; see ChunkRecords.
struct RecordChain {
  BytesAt first{};
  std::atomic<std::uint32_t> begun{0};  ///< `first` is there
};

struct alignas(64) PoolMapHead {
  std::uint32_t count = 0;   ///< of items
  std::uint32_t places = 0;  ///< for workers
  std::int64_t timeout = 0;  ///< of an item, ns; 0: none
  std::uint64_t seed = 0;
  std::uint64_t inputs = 0;  ///< bytes
  MapTable table{};
};

class PoolMapMemory {
 public:
  [[nodiscard]] static std::size_t size(std::size_t places, std::size_t inputs) noexcept {
    return inputs_at(places) + inputs;
  }
  /// In the host, to begin with.
  PoolMapMemory(std::span<std::byte> bytes, std::uint32_t count, std::uint32_t places,
                std::size_t inputs) noexcept
      : bytes_(bytes), places_(places), inputs_(inputs) {
    auto* const head = new (bytes.data()) PoolMapHead;
    head->count = count;
    head->places = places;
    head->inputs = inputs;
    for (std::uint32_t i = 0; i < places; ++i) clear(i);
  }
  /// In a worker; nothing where that cannot be a map with this place.
  static std::optional<PoolMapMemory> find(std::span<std::byte> bytes,
                                           std::uint32_t place) noexcept {
    PoolMapMemory found(bytes);
    if (bytes.size() < sizeof(PoolMapHead)) return std::nullopt;
    found.places_ = found.head().places;
    found.inputs_ = found.head().inputs;
    if (place >= found.places_ || found.places_ > kMostSeats) return std::nullopt;
    const std::size_t fixed = inputs_at(found.places_);
    if (fixed > bytes.size() || found.inputs_ > bytes.size() - fixed) return std::nullopt;
    return found;
  }

  [[nodiscard]] PoolMapHead& head() const noexcept {
    return *reinterpret_cast<PoolMapHead*>(bytes_.data());
  }
  [[nodiscard]] std::span<WorkerSlot> slots() const noexcept {
    return {reinterpret_cast<WorkerSlot*>(bytes_.data() + sizeof(PoolMapHead)), places_};
  }
  [[nodiscard]] RecordChain& chain(std::size_t place) const noexcept {
    return reinterpret_cast<RecordChain*>(bytes_.data() + chains_at(places_))[place];
  }
  [[nodiscard]] std::span<std::byte> inputs() const noexcept {
    return bytes_.subspan(inputs_at(places_), inputs_);
  }
  /// For another worker at `place`.
  void clear(std::size_t place) const noexcept {
    new (&slots()[place]) WorkerSlot;
    new (&chain(place)) RecordChain;
  }

 private:
  explicit PoolMapMemory(std::span<std::byte> bytes) noexcept : bytes_(bytes) {}
  static std::size_t chains_at(std::size_t places) noexcept {
    return sizeof(PoolMapHead) + places * sizeof(WorkerSlot);
  }
  static std::size_t inputs_at(std::size_t places) noexcept {
    return (chains_at(places) + places * sizeof(RecordChain) + 63) / 64 * 64;
  }

  std::span<std::byte> bytes_;
  std::size_t places_ = 0;  ///< as they were when they were checked
  std::size_t inputs_ = 0;
};

}  // namespace tine::work
