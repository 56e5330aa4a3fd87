// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace tine::cli {

/// The shell that runs what is not run directly: $PARALLEL_SHELL, else the nearest ancestor that is
/// a shell, else $SHELL, else /bin/sh.
std::string user_shell();

}  // namespace tine::cli
