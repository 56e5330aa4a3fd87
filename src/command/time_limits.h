// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "tine/detail/command_spec.h"
#include "tine/error.h"

namespace tine::command {

/// How long jobs may run: a fixed time, or a share of the median of the latest run times.
class TimeLimits {
 public:
  /// 0: none; `percent` above 0 is of the median.
  TimeLimits(std::chrono::nanoseconds fixed, double percent) noexcept
      : fixed_(fixed), percent_(percent) {}

  /// 0: as long as it likes.
  [[nodiscard]] std::chrono::nanoseconds limit_of(const detail::CommandSpec& spec) const {
    if (const auto share = share_of_median()) return *share;
    if (spec.timeout.count() <= 0) return fixed_;
    return fixed_.count() > 0 ? std::min(fixed_, spec.timeout) : spec.timeout;
  }

  /// A job has ended by itself. Gives the limit that this sets to all others, if any.
  std::optional<std::chrono::nanoseconds> learn(const Result<Finished>& ended) {
    const bool ran = ended || ended.error().status;
    if (percent_ <= 0 || !ran) return std::nullopt;
    const auto time = ended ? ended->usage.wall : ended.error().elapsed;
    constexpr std::size_t kLatest = 1023;
    if (times_.size() < kLatest) {
      times_.push_back(time);
    } else {
      times_[next_++ % kLatest] = time;
    }
    return share_of_median();
  }

 private:
  /// Nothing before three are known.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> share_of_median() const {
    if (times_.size() < 3) return std::nullopt;
    auto sorted = times_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::ranges::nth_element(sorted, middle);
    constexpr double kAsGoodAsNever = 9e18;  // what 64 bits can hold
    const double share = static_cast<double>(middle->count()) * percent_ / 100;
    return std::chrono::nanoseconds(
        static_cast<std::int64_t>(std::clamp(share, 1.0, kAsGoodAsNever)));
  }

  std::chrono::nanoseconds fixed_;
  double percent_;
  std::vector<std::chrono::nanoseconds> times_;
  std::size_t next_ = 0;
};

}  // namespace tine::command
