// SPDX-License-Identifier: MIT
#pragma once

/// A number for this process that no ancestor of it has: what is marked with another one is from
/// before a fork. A pid would not do: a child's can be that of a grandparent which is gone.
///
/// Threads: safe. Signals: async-signal-safe, but for the first question of all.
/// Where the kernel does not wipe on fork, only children of libc's fork() have a new number.

#include <atomic>
#include <cstdint>

namespace tine::os {

/// Larger than that of every ancestor, never 0.
std::uint32_t fork_generation() noexcept;

/// Where fork_generation() keeps it, for those who look often. 0: nobody has asked in this process.
const std::atomic<std::uint32_t>& fork_generation_word() noexcept;

}  // namespace tine::os
