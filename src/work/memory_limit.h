// SPDX-License-Identifier: MIT
#pragma once

/// How much memory a function child may add to what it has inherited.

#include <cstdint>

namespace tine::work {

/// In a child: from here on an allocation that goes `bytes` beyond what there is now is refused.
/// Not RLIMIT_AS: what the parent has reserved would count. Source: getrlimit(2), RLIMIT_DATA
void limit_memory(std::uint64_t bytes) noexcept;

/// The bytes of this process that no file and no other process shares, or did at the fork.
/// Source: proc(5), /proc/PID/statm
[[nodiscard]] std::uint64_t own_memory() noexcept;

}  // namespace tine::work
