// SPDX-License-Identifier: MIT
#pragma once

/// A secret that no child inherits.
///
///     auto key = tine::WipeOnFork<std::array<std::byte, 32>>::create();
///     if (!key) return fail(key.error());           // the kernel cannot keep the promise
///     read_key(file, **key);                        // straight into its place
///     auto child = tine::launch([&] { (*key)->front(); });   // 0 in there
///
/// A fork copies all memory, keys as well, into processes that have no business with them. This
/// value lies in pages of its own, which every child sees as zeros, however it was forked, and
/// which are in no core dump. They are overwritten before they are given back.
///
/// What is not promised: copies that you make of the value (in a std::string, in a register that is
/// spilled to the stack) are as ordinary as any, and the pages may be swapped out. Programs that a
/// Command executes see none of your memory anyway.
///
/// Owner: this process. In a child it is an ordinary value of zeros: wiped() tells it from a key,
///        and what the child puts there is the child's.
/// Threads: as with any value. Cost: at least a page.
/// Example: examples/fork_hazards.cc
/// Source: madvise(2), MADV_WIPEONFORK (Linux 4.14), MADV_DONTDUMP; explicit_bzero(3)

#include <cstddef>
#include <cstdint>
#include <expected>
#include <new>
#include <type_traits>
#include <utility>

#include "tine/error.h"

namespace tine {

namespace detail {

/// Pages that are wiped in children, left out of core dumps, and overwritten at the end.
class SecretPages {
 public:
  /// Errors: out_of_memory; invalid_argument: the kernel refuses.
  [[nodiscard]] static std::expected<SecretPages, Error> create(std::size_t size);
  SecretPages(SecretPages&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        generation_(other.generation_) {}
  SecretPages& operator=(SecretPages&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    std::swap(generation_, other.generation_);
    return *this;
  }
  ~SecretPages();

  [[nodiscard]] void* data() const noexcept { return at_; }
  /// Whether this process comes from a fork after they were made.
  [[nodiscard]] bool wiped() const noexcept;

 private:
  SecretPages(void* at, std::size_t size, std::uint32_t generation) noexcept
      : at_(at), size_(size), generation_(generation) {}
  void* at_;
  std::size_t size_;
  std::uint32_t generation_;
};

}  // namespace detail

template <class T>
class WipeOnFork {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T> &&
                    std::is_default_constructible_v<T>,
                "tine: what is wiped has to be nothing but its bytes: a number, a std::array or a "
                "struct of these. A std::string or std::vector keeps its text elsewhere; use "
                "std::array<std::byte, N>");
  static_assert(!std::is_pointer_v<T>,
                "tine: a pointer would be wiped, and not what it points to. Put that in here");
  static_assert(alignof(T) <= 4096);

 public:
  /// All zeros.
  /// Errors: invalid_argument: this kernel, or the sandbox that it emulates, cannot wipe memory on
  ///         a fork, and nothing was made that would only look safe; out_of_memory.
  [[nodiscard]] static std::expected<WipeOnFork, Error> create() {
    auto pages = detail::SecretPages::create(sizeof(T));
    if (!pages) return std::unexpected(std::move(pages.error()));
    return WipeOnFork(std::move(*pages));
  }
  /// The one that was moved from is empty: it may be assigned to and destroyed.
  WipeOnFork(WipeOnFork&&) noexcept = default;
  WipeOnFork& operator=(WipeOnFork&&) noexcept = default;
  ~WipeOnFork() = default;

  [[nodiscard]] T& operator*() noexcept { return *value(); }
  [[nodiscard]] const T& operator*() const noexcept { return *value(); }
  [[nodiscard]] T* operator->() noexcept { return value(); }
  [[nodiscard]] const T* operator->() const noexcept { return value(); }

  /// Whether this is a forked copy, where the value was lost.
  [[nodiscard]] bool wiped() const noexcept { return pages_.wiped(); }

 private:
  explicit WipeOnFork(detail::SecretPages pages) noexcept : pages_(std::move(pages)) {
    ::new (pages_.data()) T{};
  }
  [[nodiscard]] T* value() const noexcept { return std::launder(static_cast<T*>(pages_.data())); }

  detail::SecretPages pages_;
};

}  // namespace tine
