// SPDX-License-Identifier: MIT
#pragma once

/// A set of items, kept as the ranges that it consists of.

#include <cstdint>
#include <map>
#include <vector>

#include "work/item_range.h"

namespace tine::work {

class ItemSet {
 public:
  void add(Span items);
  /// How many there are.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] bool contains(std::uint32_t item) const noexcept;
  /// What is missing in [0, count), in order.
  [[nodiscard]] std::vector<Span> missing(std::uint32_t count) const;

 private:
  std::map<std::uint32_t, std::uint32_t> ranges_;  ///< begin -> end, apart from each other
  std::uint64_t size_ = 0;
};

}  // namespace tine::work
