// SPDX-License-Identifier: MIT
#pragma once

/// This process's pid from memory. A forked copy sees the page wiped and asks the kernel anew, so
/// that every handle can tell cheaply whether it is in the process that made it.
/// Source: madvise(2), MADV_WIPEONFORK, Linux 4.14

#include <sys/types.h>

namespace tine::os {

pid_t own_pid() noexcept;

}  // namespace tine::os
