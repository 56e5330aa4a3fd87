// SPDX-License-Identifier: MIT
#include "work/item_set.h"

#include <algorithm>
#include <iterator>

namespace tine::work {

void ItemSet::add(Span items) {
  if (items.empty()) return;
  auto next = ranges_.upper_bound(items.begin);
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (before->second >= items.begin) {  // it touches: one range of both
      items.begin = before->first;
      items.end = std::max(items.end, before->second);
      size_ -= before->second - before->first;
      ranges_.erase(before);
    }
  }
  while (next != ranges_.end() && next->first <= items.end) {
    items.end = std::max(items.end, next->second);
    size_ -= next->second - next->first;
    next = ranges_.erase(next);
  }
  ranges_.emplace_hint(next, items.begin, items.end);
  size_ += items.size();
}

bool ItemSet::contains(std::uint32_t item) const noexcept {
  const auto after = ranges_.upper_bound(item);
  return after != ranges_.begin() && item < std::prev(after)->second;
}

std::vector<Span> ItemSet::missing(std::uint32_t count) const {
  std::vector<Span> gaps;
  std::uint32_t at = 0;
  for (const auto& [begin, end] : ranges_) {
    if (begin > at) gaps.push_back({at, std::min(begin, count)});
    at = std::max(at, end);
  }
  if (at < count) gaps.push_back({at, count});
  return gaps;
}

}  // namespace tine::work
