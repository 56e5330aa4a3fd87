// SPDX-License-Identifier: MIT
#include "work/item_supply.h"

#include <algorithm>
#include <memory>

namespace tine::work {

void ItemSupply::deal(std::uint32_t count, std::size_t workers) {
  count_ = count;
  workers_ = workers;
  const std::uint64_t shares = workers;
  for (std::uint64_t i = 0; i < shares; ++i) {
    put({static_cast<std::uint32_t>(count * i / shares),
         static_cast<std::uint32_t>(count * (i + 1) / shares)});
  }
}

void ItemSupply::take_back(ItemRange& range) {
  const Span rest = range.take_all();
  if (!rest.empty() && rest.end <= count_) put(rest);
}

void ItemSupply::take_back(std::size_t place) {
  take_back(memory_.slot(place).range);
  if (!memory_.is_strict()) return;
  // Nobody else looks at this table, so the next worker here gets a new one.
  MapTable& table = memory_.table(place);
  for (ItemRange& range : table.handed_out) take_back(range);
  std::destroy_at(&table);
  std::construct_at(&table);
}

void ItemSupply::close(std::size_t place) {
  if (memory_.is_strict()) closed_ = &memory_.table(place);
  take_back(place);
}

bool ItemSupply::has_items() const noexcept {
  const auto holds = [](const ItemRange& range) { return !range.load().empty(); };
  const auto holds_any = [&](const MapTable* table) {
    return std::ranges::any_of(table->handed_out, holds);
  };
  return !pending_.empty() || std::ranges::any_of(memory_.tables(), holds_any) ||
         std::ranges::any_of(memory_.slots(), [&](auto* slot) { return holds(slot->range); });
}

void ItemSupply::hand_out() {
  bool any = false;
  for (MapTable* table : memory_.tables()) any = hand_out(*table) || any;
  // Who has taken something tells: then there is room for more.
  const std::uint32_t more = pending_.empty() ? 0 : 1;
  for (MapTable* table : memory_.tables()) {
    any = table->more.exchange(more, std::memory_order_acq_rel) != more || any;
  }
  if (any) announce();
}

/// A table that all look at gets what there is room for. One of a single worker gets a piece when
/// it has taken the last one: nobody else can take it away again.
bool ItemSupply::hand_out(MapTable& table) {
  bool any = false;
  if (&table == closed_) return any;
  for (ItemRange& range : table.handed_out) {
    if (pending_.empty()) break;
    if (range.load().empty()) {
      range.put(next_piece());
      any = true;
    }
    if (memory_.is_strict()) break;
  }
  return any;
}

Span ItemSupply::next_piece() {
  Span& first = pending_.front();
  Span piece = first;
  if (memory_.is_strict()) {
    constexpr std::size_t kPiecesOfEach = 4;  // of what is left, for each worker
    const auto size = static_cast<std::uint32_t>(first.size() / (kPiecesOfEach * workers_));
    piece.end = std::min(first.end, first.begin + std::max(1u, size));
  }
  first.begin = piece.end;
  if (first.empty()) pending_.pop_front();
  return piece;
}

void ItemSupply::announce() const noexcept {
  for (MapTable* table : memory_.tables()) table->announce();
}

void ItemSupply::stop() const noexcept {
  for (MapTable* table : memory_.tables()) table->stop.store(1, std::memory_order_release);
}

void ItemSupply::allow() const noexcept {
  for (MapTable* table : memory_.tables()) table->stop.store(0, std::memory_order_release);
}

}  // namespace tine::work
