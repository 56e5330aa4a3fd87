// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace tine::cli {

/// Opens what of 0, 1 and 2 is closed: such a number would become that of the next file we open.
/// Gives whether stdout was closed.
bool fill_stdio();

/// For what is no output of jobs: all of `text` on stdout. Gives what to exit with: 0, or 255 after
/// a word on stderr.
int print(std::string_view text);

}  // namespace tine::cli
