// SPDX-License-Identifier: MIT
#pragma once

/// Text from elsewhere (a command line, the last words of a job) as one line for a terminal.

#include <cstddef>
#include <string>
#include <string_view>

namespace tine::report {

/// At most `width` characters, "..." behind them when there are more. Control characters become
/// spaces and what is no UTF-8 becomes '?', so that a hostile job does not reach the terminal.
[[nodiscard]] std::string printable(std::string_view text, std::size_t width);

}  // namespace tine::report
