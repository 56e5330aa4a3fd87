// SPDX-License-Identifier: MIT
#pragma once

/// A range of items that several processes take from: its owner from the front, thieves half of it
/// from the back. One word, so a process that is killed in the middle of anything leaves it whole.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tine::work {

/// Items [begin, end).
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  [[nodiscard]] std::uint32_t size() const noexcept { return end > begin ? end - begin : 0; }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
};

/// Items are counted in 32 bits.
inline constexpr std::size_t kMostItems = 0xffffffff;

class ItemRange {
 public:
  [[nodiscard]] Span load() const noexcept { return unpack(word_.load(std::memory_order_acquire)); }

  /// The first items, `most` at most.
  Span take_front(std::uint32_t most) noexcept {
    return take([most](Span& left) {
      const std::uint32_t count = most < left.size() ? most : left.size();
      const Span taken{left.begin, left.begin + count};
      left.begin += count;
      return taken;
    });
  }
  /// The second half; a single item as well.
  Span take_half() noexcept {
    return take([](Span& left) {
      const Span taken{left.begin + left.size() / 2, left.end};
      left.end = taken.begin;
      return taken;
    });
  }
  Span take_all() noexcept { return unpack(word_.exchange(0, std::memory_order_acq_rel)); }

  /// Requires: it is empty, and nobody else puts.
  void put(Span items) noexcept { word_.store(pack(items), std::memory_order_release); }

  /// Gives back items that were taken from the front, of which `items.begin` is the first that has
  /// not been run. Requires: called by the owner, with what it took last.
  void put_back(Span items) noexcept {
    if (items.empty()) return;
    std::uint64_t seen = word_.load(std::memory_order_acquire);
    for (;;) {
      const Span left = unpack(seen);
      const Span whole{items.begin, left.empty() ? items.end : left.end};
      if (word_.compare_exchange_weak(seen, pack(whole), std::memory_order_acq_rel)) return;
    }
  }

 private:
  static std::uint64_t pack(Span items) noexcept {
    return items.empty() ? 0 : std::uint64_t{items.begin} << 32 | items.end;
  }
  static Span unpack(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word)};
  }
  template <class Choose>
  Span take(const Choose& choose) noexcept {
    std::uint64_t seen = word_.load(std::memory_order_acquire);
    for (;;) {
      Span left = unpack(seen);
      if (left.empty()) return {};
      const Span taken = choose(left);
      if (word_.compare_exchange_weak(seen, pack(left), std::memory_order_acq_rel)) return taken;
    }
  }

  std::atomic<std::uint64_t> word_{0};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace tine::work
