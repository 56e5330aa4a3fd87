// SPDX-License-Identifier: MIT
#pragma once

/// Blocks every signal of the calling thread while it lives.
///
/// Even glibc's internal ones (32, 33), which sigprocmask(3) would let through: a set*id of another
/// thread must not run its handler in a child that shares our memory.

#include <cstdint>

#include "os/raw_syscall.h"

#include <signal.h>
#include <sys/syscall.h>

namespace tine::os {

class AllSignalsBlocked {
 public:
  /// `needed`: false leaves the mask alone.
  explicit AllSignalsBlocked(bool needed = true) noexcept : needed_(needed) {
    if (!needed_) return;
    const std::uint64_t all = ~std::uint64_t{0};
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_word(&all), as_word(&before_), sizeof before_);
  }
  ~AllSignalsBlocked() {
    if (!needed_) return;
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_word(&before_), 0, sizeof before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

  /// The mask as it was, one bit per signal.
  [[nodiscard]] std::uint64_t before() const noexcept { return before_; }

 private:
  const bool needed_;
  std::uint64_t before_ = 0;
};

}  // namespace tine::os
