// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace tine::cli {

/// The version of GNU parallel whose language `tine run` speaks, as it numbers them.
inline constexpr std::uint64_t kParallelVersion = 20221122;

inline std::string_view version_text() {
  return "tine " TINE_VERSION
         "\nRuns work in child processes. `tine run` understands the options of GNU parallel "
         "20221122.\n";
}

}  // namespace tine::cli
