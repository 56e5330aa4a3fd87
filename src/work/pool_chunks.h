// SPDX-License-Identifier: MIT
#pragma once

/// What does not fit into a slot: arguments, results and notes of failures, in chunks of one size.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "os/shared_region.h"

namespace tine::work {

/// A run of chunks belongs to the slot whose number stands in all of their words; taking one is one
/// word changed, so that nothing is lost with who is killed: words name their owner.
class ChunkArea {
 public:
  ChunkArea() noexcept = default;
  ChunkArea(std::span<std::atomic<std::uint32_t>> owners, os::SharedPart bytes, std::size_t chunk,
            std::atomic<std::uint32_t>& used) noexcept
      : owners_(owners), bytes_(bytes), chunk_(chunk), used_(&used) {}

  /// `from`: where to look first. Nothing: no room, or no memory.
  [[nodiscard]] std::optional<std::uint32_t> take(std::uint32_t slot, std::size_t size,
                                                  std::size_t from) noexcept;
  /// Requires: nobody uses them any more. Those that are not of `slot` are left alone.
  /// What is larger than `kept` loses its pages.
  void free(std::uint32_t slot, std::uint32_t first, std::size_t size, std::size_t kept) noexcept;
  /// All that belong to `slot`, but for the run at `kept`.
  void free_all(std::uint32_t slot, std::uint32_t kept, std::size_t kept_size) noexcept;
  /// Empty when they cannot be where they are said to be.
  [[nodiscard]] std::span<std::byte> at(std::uint32_t first, std::size_t size) const noexcept;
  [[nodiscard]] std::size_t count(std::size_t size) const noexcept {
    return (size + chunk_ - 1) / chunk_;
  }
  [[nodiscard]] std::size_t chunks() const noexcept { return owners_.size(); }

 private:
  [[nodiscard]] bool claim(std::size_t first, std::size_t count, std::uint32_t owner,
                           std::size_t& taken) noexcept;
  void unclaim(std::size_t first, std::size_t count) noexcept;
  [[nodiscard]] bool populate(std::size_t first, std::size_t count) noexcept;

  std::span<std::atomic<std::uint32_t>> owners_{};
  os::SharedPart bytes_{};
  std::size_t chunk_ = 1;
  std::atomic<std::uint32_t>* used_ = nullptr;
};

}  // namespace tine::work
