// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <queue>
#include <vector>

namespace tine::command {

/// Numbers from 0, one for each job in flight. The lowest free one is next, as users of slot
/// numbers expect.
class SlotNumbers {
 public:
  std::size_t take() {
    if (free_.empty()) return made_++;
    const std::size_t lowest = free_.top();
    free_.pop();
    return lowest;
  }
  void release(std::size_t number) { free_.push(number); }

 private:
  std::size_t made_ = 0;
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;
};

}  // namespace tine::command
