// SPDX-License-Identifier: MIT
#pragma once

/// Sizes in whole pages, as mappings have them.

#include <cstddef>

namespace tine::os {

/// That of x86-64, and the least of other machines.
inline constexpr std::size_t kPage = 4096;

/// Rounded down, and up.
constexpr std::size_t pages_within(std::size_t size) noexcept { return size / kPage * kPage; }
constexpr std::size_t pages_for(std::size_t size) noexcept {
  return pages_within(size + kPage - 1);
}

}  // namespace tine::os
