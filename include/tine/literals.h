// SPDX-License-Identifier: MIT
#pragma once

/// Sizes in bytes and, with them, the standard durations: `using namespace tine::literals;`
/// makes `512_MiB` and `30s` readable where options are written.

#include <chrono>
#include <cstdint>

namespace tine::literals {

using namespace std::chrono_literals;  // NOLINT: 30s and 512_MiB belong to one using-directive

constexpr std::uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
constexpr std::uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
constexpr std::uint64_t operator""_GiB(unsigned long long n) { return n << 30; }

}  // namespace tine::literals
