// SPDX-License-Identifier: MIT
#pragma once

/// A few things that are dear to make and wait for their next use. A forked child lets go of those
/// of its parent when it has some of its own, or says so. Owner: this, also at the end of the
/// process, when others may still give back. Threads: safe; where a fork has copied it while
/// another thread was in here, it keeps nothing.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "os/fork_generation.h"

namespace tine::work {

template <class T, std::size_t kMost>
class Spares {
 public:
  constexpr Spares() noexcept = default;

  std::optional<T> take() noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || !are_ours() || count_ == 0) return std::nullopt;
    T& last = places_[--count_].thing;
    std::optional<T> taken(std::move(last));
    std::destroy_at(&last);
    return taken;
  }
  /// What there is no room for goes.
  void give(T thing) noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || (are_ours() && count_ == kMost)) return;
    clear_inherited();
    generation_ = os::fork_generation();
    std::construct_at(&places_[count_++].thing, std::move(thing));
  }

  /// In a child that is not to reach them.
  void drop_inherited() noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock) clear_inherited();
  }

 private:
  union Place {
    constexpr Place() noexcept : empty() {}
    ~Place() {}  // NOLINT(modernize-use-equals-default): what it may hold stays
    char empty;
    T thing;
  };

  [[nodiscard]] bool are_ours() const noexcept { return generation_ == os::fork_generation(); }
  void clear_inherited() noexcept {
    while (!are_ours() && count_ > 0) std::destroy_at(&places_[--count_].thing);
  }

  std::mutex mutex_{};
  std::uint32_t generation_ = 0;  ///< of the process whose they are
  std::size_t count_ = 0;
  std::array<Place, kMost> places_{};
};

}  // namespace tine::work
