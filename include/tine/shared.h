// SPDX-License-Identifier: MIT
#pragma once

/// Values that a process and the children it forks later see alike.
///
///     tine::Shared<std::atomic<int>> done{0};
///     auto child = tine::launch([&] { ++*done; });     // ours too: done->load() becomes 1
///
///     tine::SharedSpan<double> row(1000);              // 1000 zeros
///     auto filler = tine::launch([&] { std::ranges::fill(row, 0.5); });
///
/// Everything else that a child changes is its own. To bring back a value there is call(), which
/// also says what went wrong; shared memory is for what is seen while both run (a counter, a flag
/// to stop), and for large arrays that children fill in place.
///
/// What may lie there: see `shareable` below; the compiler refuses the rest with a sentence.
/// When who sees what: as between threads. A plain value is safe to read after the writer has been
///           waited for; what changes while both look has to be a std::atomic. A child may be
///           killed in the middle of a write, so prefer one atomic to several values that belong
///           together. Don't use wait() and notify_one() of an atomic across processes: libstdc++'s
///           wake only threads of the same process.
/// Owner:    each process its own view; the destructor unmaps that alone, and the memory goes with
///           the last one. Made in a child, it is shared with that child's children only.
/// Memory:   whole pages, taken when it is made, so that a write is never a SIGBUS for want of
///           memory. std::bad_alloc when there is none.
/// Programs: nothing is shared with what a Command executes.
/// Example:  examples/memory_isolation.cc
/// Source:   mmap(2), MAP_SHARED | MAP_ANONYMOUS; madvise(2), MADV_POPULATE_WRITE, Linux 5.14

#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "tine/detail/shareable.h"

namespace tine {

namespace detail {

/// Pages of zeros, shared with children forked later.
class SharedPages {
 public:
  SharedPages() noexcept = default;
  /// Throws std::bad_alloc.
  explicit SharedPages(std::size_t size);
  SharedPages(SharedPages&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SharedPages& operator=(SharedPages&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SharedPages();

  [[nodiscard]] void* data() const noexcept { return at_; }

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
};

constexpr std::size_t kPageAlignment = 4096;

}  // namespace detail

/// One T, made from the arguments; without any, a zero.
template <class T>
class Shared {
  static_assert(detail::require_shareable<T>());
  static_assert(alignof(T) <= detail::kPageAlignment);

 public:
  template <class... Args>
    requires std::is_constructible_v<T, Args...> &&
                 (!(std::is_same_v<std::remove_cvref_t<Args>, Shared> || ...))
  explicit Shared(Args&&... args)
      : pages_(sizeof(T)), value_(::new(pages_.data()) T(std::forward<Args>(args)...)) {}
  /// The one that was moved from is empty: it may be assigned to and destroyed.
  Shared(Shared&& other) noexcept
      : pages_(std::move(other.pages_)), value_(std::exchange(other.value_, nullptr)) {}
  Shared& operator=(Shared&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~Shared() = default;

  [[nodiscard]] T& operator*() noexcept { return *value_; }
  [[nodiscard]] const T& operator*() const noexcept { return *value_; }
  [[nodiscard]] T* operator->() noexcept { return value_; }
  [[nodiscard]] const T* operator->() const noexcept { return value_; }

 private:
  detail::SharedPages pages_;
  T* value_;
};

/// `size` elements, all zeros; as many as fit into memory.
template <class T>
class SharedSpan {
  static_assert(detail::require_shareable<T>());
  static_assert(alignof(T) <= detail::kPageAlignment);

 public:
  explicit SharedSpan(std::size_t size) : pages_(bytes_of(size)) {
    auto* const first = static_cast<T*>(pages_.data());
    std::uninitialized_value_construct_n(first, size);
    elements_ = {first, size};
  }
  /// The one that was moved from is empty.
  SharedSpan(SharedSpan&& other) noexcept
      : pages_(std::move(other.pages_)), elements_(std::exchange(other.elements_, {})) {}
  SharedSpan& operator=(SharedSpan&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(elements_, other.elements_);
    return *this;
  }
  ~SharedSpan() = default;

  [[nodiscard]] std::size_t size() const noexcept { return elements_.size(); }
  [[nodiscard]] bool empty() const noexcept { return elements_.empty(); }
  [[nodiscard]] T* data() noexcept { return elements_.data(); }
  [[nodiscard]] const T* data() const noexcept { return elements_.data(); }
  /// Requires: at < size().
  [[nodiscard]] T& operator[](std::size_t at) noexcept { return elements_[at]; }
  [[nodiscard]] const T& operator[](std::size_t at) const noexcept { return elements_[at]; }
  [[nodiscard]] T* begin() noexcept { return elements_.data(); }
  [[nodiscard]] T* end() noexcept { return elements_.data() + elements_.size(); }
  [[nodiscard]] const T* begin() const noexcept { return elements_.data(); }
  [[nodiscard]] const T* end() const noexcept { return elements_.data() + elements_.size(); }
  [[nodiscard]] std::span<T> span() noexcept { return elements_; }
  [[nodiscard]] std::span<const T> span() const noexcept { return elements_; }

 private:
  static std::size_t bytes_of(std::size_t size) {
    if (size > std::numeric_limits<std::size_t>::max() / sizeof(T))
      throw std::bad_array_new_length();
    return size * sizeof(T);
  }

  detail::SharedPages pages_;
  std::span<T> elements_{};
};

}  // namespace tine
