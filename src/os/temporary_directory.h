// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace tine::os {

/// $TMPDIR; /tmp when that is unset or empty. Whether there is such a directory is not looked at.
///
/// Threads: as getenv(3), none may change the environment meanwhile.
[[nodiscard]] std::string temporary_directory();

}  // namespace tine::os
