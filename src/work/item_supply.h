// SPDX-License-Identifier: MIT
#pragma once

/// The items of a map that no worker has: shares at the beginning, what those leave who die, what
/// is to be tried again. Puts them where workers find them, and lets these go on or stop.

#include <cstddef>
#include <cstdint>
#include <deque>

#include "work/map_memory.h"

namespace tine::work {

class ItemSupply {
 public:
  /// Requires: `memory` outlives it.
  explicit ItemSupply(const MapMemory& memory) noexcept : memory_(memory) {}

  /// Items [0, count), in equal shares for so many workers.
  void deal(std::uint32_t count, std::size_t workers);
  void put(Span items) { pending_.push_back(items); }
  /// What the worker at `place` has not taken to run; what lies beyond the items is noise.
  void take_back(std::size_t place);
  /// The same, and nobody will work there again.
  void close(std::size_t place);
  /// Puts what is pending where there is room for it.
  void hand_out();
  /// Whether there is something that a worker could take.
  [[nodiscard]] bool has_items() const noexcept;

  /// To all who wait for something to change.
  void announce() const noexcept;
  void stop() const noexcept;
  /// Undoes a stop that was not ours.
  void allow() const noexcept;

 private:
  bool hand_out(MapTable& table);
  Span next_piece();
  void take_back(ItemRange& range);

  const MapMemory& memory_;
  std::uint32_t count_ = 0;
  std::size_t workers_ = 1;
  const MapTable* closed_ = nullptr;  ///< nobody takes anything from this one
  std::deque<Span> pending_{};
};

}  // namespace tine::work
