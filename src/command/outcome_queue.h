// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "tine/batch.h"

namespace tine::command {

/// Outcomes that nobody has taken yet: as they came, or (`ordered`) by their indices without a gap.
class OutcomeQueue {
 public:
  explicit OutcomeQueue(bool ordered) noexcept : ordered_(ordered) {}

  void push(Outcome outcome) {
    if (!ordered_) {
      ready_.push_back(std::move(outcome));
      return;
    }
    held_.emplace(outcome.index, std::move(outcome));
    while (!held_.empty() && held_.begin()->first == next_index_) {
      ready_.push_back(std::move(held_.extract(held_.begin()).mapped()));
      ++next_index_;
    }
  }

  [[nodiscard]] std::optional<Outcome> pop() {
    if (ready_.empty()) return std::nullopt;
    Outcome outcome = std::move(ready_.front());
    ready_.pop_front();
    return outcome;
  }

  /// No new job should add to these, also if the input is endless and its jobs cannot even start.
  [[nodiscard]] bool full() const noexcept {
    constexpr std::size_t kMost = 256;  // each holds two descriptors
    return held_.size() + ready_.size() >= kMost;
  }

 private:
  bool ordered_;
  std::deque<Outcome> ready_;
  std::map<std::uint64_t, Outcome> held_;  ///< those that wait for an earlier one
  std::uint64_t next_index_ = 0;
};

}  // namespace tine::command
