// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tine/batch.h"

namespace tine::command {

/// Counts how jobs end, until a Halt rule is fulfilled.
class HaltCount {
 public:
  explicit HaltCount(const Halt& rule) noexcept : rule_(rule) {}

  /// True for the one job whose end fulfils the rule.
  bool count(bool success) noexcept {
    ++done_;
    successes_ += success ? 1 : 0;
    if (rule_.when == Halt::When::never || reached_) return false;
    const auto seen = static_cast<double>(counted());
    const auto done = static_cast<double>(done_);
    reached_ = rule_.percent > 0 ? done_ >= 3 && seen * 100 >= rule_.percent * done
                                 : seen >= static_cast<double>(rule_.count);
    return reached_;
  }

  [[nodiscard]] bool reached() const noexcept { return reached_; }

 private:
  [[nodiscard]] std::uint64_t counted() const noexcept {
    switch (rule_.what) {
      case Halt::What::fail: return done_ - successes_;
      case Halt::What::success: return successes_;
      case Halt::What::done: break;
    }
    return done_;
  }

  Halt rule_;
  std::uint64_t done_ = 0;
  std::uint64_t successes_ = 0;
  bool reached_ = false;
};

}  // namespace tine::command
