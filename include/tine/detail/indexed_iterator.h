// SPDX-License-Identifier: MIT
#pragma once

/// Random access over values that are made when they are asked for. Not part of the interface.

#include <compare>
#include <cstddef>
#include <iterator>

namespace tine::detail {

/// What `Self` inherits from to be an iterator: it gives `Value value_at(std::size_t) const`.
template <class Self, class Value>
class IndexedIterator {
 public:
  using iterator_concept = std::random_access_iterator_tag;
  using iterator_category = std::input_iterator_tag;  // its reference is a value
  using value_type = Value;
  using reference = Value;
  using difference_type = std::ptrdiff_t;

  Value operator*() const { return self().value_at(at_); }
  Value operator[](difference_type by) const { return *(self() + by); }
  Self& operator++() noexcept { return *this += 1; }
  Self operator++(int) noexcept { return ++*this - 1; }
  Self& operator--() noexcept { return *this -= 1; }
  Self operator--(int) noexcept { return --*this + 1; }
  Self& operator+=(difference_type by) noexcept {
    at_ += static_cast<std::size_t>(by);
    return static_cast<Self&>(*this);
  }
  Self& operator-=(difference_type by) noexcept { return *this += -by; }
  friend Self operator+(Self i, difference_type by) noexcept { return i += by; }
  friend Self operator+(difference_type by, Self i) noexcept { return i += by; }
  friend Self operator-(Self i, difference_type by) noexcept { return i -= by; }
  friend difference_type operator-(const Self& a, const Self& b) noexcept {
    return static_cast<difference_type>(a.at_) - static_cast<difference_type>(b.at_);
  }
  friend bool operator==(const Self& a, const Self& b) noexcept { return a.at_ == b.at_; }
  friend std::strong_ordering operator<=>(const Self& a, const Self& b) noexcept {
    return a.at_ <=> b.at_;
  }

 protected:
  IndexedIterator() noexcept = default;
  explicit IndexedIterator(std::size_t at) noexcept : at_(at) {}

 private:
  [[nodiscard]] const Self& self() const noexcept { return static_cast<const Self&>(*this); }

  std::size_t at_ = 0;
};

}  // namespace tine::detail
