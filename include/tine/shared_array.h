// SPDX-License-Identifier: MIT
#pragma once

/// The elements of a vector or string that a child has made, where it has put them: read in place,
/// without a copy. What call_in_place() and PoolFuture::get_in_place() give.

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace tine {

/// Copies share the memory, which goes with the last of them. Threads: as a const vector.
template <class T>
class SharedArray {
 public:
  SharedArray() noexcept = default;
  SharedArray(std::shared_ptr<const void> owner, std::span<const T> elements) noexcept
      : owner_(std::move(owner)), elements_(elements) {}

  [[nodiscard]] std::size_t size() const noexcept { return elements_.size(); }
  [[nodiscard]] bool empty() const noexcept { return elements_.empty(); }
  [[nodiscard]] const T* data() const noexcept { return elements_.data(); }
  [[nodiscard]] const T& operator[](std::size_t at) const noexcept { return elements_[at]; }
  [[nodiscard]] auto begin() const noexcept { return elements_.begin(); }
  [[nodiscard]] auto end() const noexcept { return elements_.end(); }
  [[nodiscard]] std::span<const T> span() const noexcept { return elements_; }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const T> elements_;
};

}  // namespace tine
