// SPDX-License-Identifier: MIT
#pragma once

/// A function in a child may fork, and the copy of the child may come back from it as well. What
/// the child writes and tells then is no business of its copy's, which has come to its end.

#include <atomic>
#include <cstdint>

namespace tine::detail {

/// The process that this is made in.
class CalledIn {
 public:
  CalledIn() noexcept;
  /// Whether this has been copied into another process since.
  [[nodiscard]] bool is_copied() const noexcept {
    return word_->load(std::memory_order_relaxed) != number_;
  }
  void end_if_copied() const noexcept {
    if (is_copied()) [[unlikely]]
      end_copy();
  }

 private:
  [[noreturn]] static void end_copy() noexcept;

  const std::atomic<std::uint32_t>* word_;  ///< that of every process has another number
  std::uint32_t number_;
};

}  // namespace tine::detail
