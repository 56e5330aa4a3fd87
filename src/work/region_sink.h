// SPDX-License-Identifier: MIT
#pragma once

/// Appends to memory that is shared with the parent. Pages are asked for before they are written,
/// so that a lack of memory is a refusal and not a SIGBUS. Owner: the caller, of the region.

#include <cstddef>
#include <span>

#include "os/shared_region.h"
#include "tine/detail/byte_sink.h"

namespace tine::work {

class RegionSink final : public detail::ByteSink {
 public:
  /// Writes at `from`; up to `ready` there is memory already. Each time more is needed, at least as
  /// much again is asked for as there is, but not above `largest_step`.
  RegionSink(os::SharedPart region, std::size_t from, std::size_t ready,
             std::size_t largest_step) noexcept;

  /// The offset of what comes next.
  [[nodiscard]] std::size_t position() const noexcept {
    return static_cast<std::size_t>(next() - region_.data());
  }
  /// Up to where there is memory.
  [[nodiscard]] std::size_t ready() const noexcept { return ready_; }
  /// What comes next overwrites what was written behind `position`.
  void rewind(std::size_t position) noexcept;
  bool append(std::span<const std::byte> bytes) override;

 private:
  bool grow(std::size_t size) override;
  bool provide(std::size_t until);

  os::SharedPart region_;
  std::size_t ready_;
  std::size_t largest_step_;
};

}  // namespace tine::work
