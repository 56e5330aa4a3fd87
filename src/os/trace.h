// SPDX-License-Identifier: MIT
#pragma once

/// `TINE_TRACE=1` in the environment: what the library does, a line each on stderr. Never the
/// environment or the input of a command, which may be secret.
///
/// Cost when off: one load and one branch.

#include <string>

namespace tine::os {

/// Whether somebody asked, at the first question.
bool tracing() noexcept;

/// One write(2), so that lines of many threads and processes do not mix.
void trace(const std::string& line) noexcept;

}  // namespace tine::os
