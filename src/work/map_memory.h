// SPDX-License-Identifier: MIT
#pragma once

/// The memory of a map: tables, slots, arenas and the array of plain results.
///
/// Shared: one mapping for all of it, as making and undoing one costs 55 us; the next map has it
/// again if nothing went wrong. Results that are large have one of their own, as they live longer;
/// the parent copies small ones. Pages are used as they are needed. Strict: each worker has a
/// mapping of its own with all that it may reach, results as well, and the parent copies those of
/// done items.

#include <cstddef>
#include <expected>
#include <memory>
#include <span>
#include <vector>

#include "os/pages.h"
#include "os/shared_region.h"
#include "tine/error.h"
#include "work/map_table.h"

namespace tine::work {

class MapMemory {
 public:
  enum class Reach : unsigned char { all, own };

  MapMemory() noexcept = default;
  /// Errors: out_of_memory.
  static std::expected<MapMemory, Error> create(std::size_t seats, Reach reach,
                                                std::size_t value_bytes);

  /// Of tables and slots that are elsewhere; without arenas and values.
  static MapMemory over(MapTable& table, std::span<WorkerSlot> slots);

  /// Each table once.
  [[nodiscard]] std::span<MapTable* const> tables() const noexcept { return tables_; }
  /// The one that the worker at `place` looks at.
  [[nodiscard]] MapTable& table(std::size_t place) const noexcept {
    return *tables_[is_strict() ? place : 0];
  }
  [[nodiscard]] std::span<WorkerSlot* const> slots() const noexcept { return slots_; }
  [[nodiscard]] WorkerSlot& slot(std::size_t place) const noexcept { return *slots_[place]; }
  /// The slots that it sees, among which its own is number own_slot().
  [[nodiscard]] std::span<WorkerSlot> slots_seen(std::size_t place) const noexcept {
    return is_strict() ? std::span(slots_[place], 1) : std::span(slots_.front(), slots_.size());
  }
  [[nodiscard]] std::size_t own_slot(std::size_t place) const noexcept {
    return is_strict() ? 0 : place;
  }
  [[nodiscard]] os::SharedPart arena(std::size_t place) const noexcept { return arenas_[place]; }
  /// Where it writes plain results, by item.
  [[nodiscard]] os::SharedPart values_of(std::size_t place) const noexcept;
  /// Where they are in the end.
  [[nodiscard]] const std::shared_ptr<std::byte>& values() const noexcept { return values_; }
  [[nodiscard]] bool is_strict() const noexcept { return reach_ == Reach::own; }

  /// In a worker: lets go of all that it must not reach.
  void keep_only(std::size_t place) noexcept;
  /// In the parent, when all workers have ended in order: another map may have the mapping. What is
  /// left here are the results.
  void allow_reuse() noexcept;
  /// In the parent: bytes [begin, end) of the results are those that the worker at `place` has
  /// made.
  void adopt_values(std::size_t place, std::size_t begin, std::size_t end) const noexcept;

 private:
  std::expected<void, Error> provide_values();
  std::expected<void, Error> add_mapping(std::size_t seats);
  /// Whether workers write results to where their tables are, from where they are copied.
  [[nodiscard]] bool copies_values() const noexcept;

  Reach reach_ = Reach::all;
  std::size_t value_bytes_ = 0;
  bool is_whole_ = true;  ///< no limit on address space has made it smaller
  std::vector<os::SharedRegion> regions_{};
  std::vector<MapTable*> tables_{};
  std::vector<WorkerSlot*> slots_{};
  std::vector<os::SharedPart> arenas_{};
  std::vector<os::SharedPart> values_beside_{};  ///< by mapping, where they are copied
  std::shared_ptr<std::byte> values_{};
};

}  // namespace tine::work
