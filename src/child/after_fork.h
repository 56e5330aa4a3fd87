// SPDX-License-Identifier: MIT
#pragma once

/// What runs in a new process between clone and exec: all of it is in after_fork.cc.

#include "child/spawn_plan.h"

namespace tine::child {

/// Becomes the program of the plan; returns only when that failed, with the reason.
///
/// Requires: all signals blocked. `handlers_cleared`: CLONE_CLEAR_SIGHAND has been at work.
/// Safe in a vfork child: no allocation, no locks, no libc but raw system calls, no errno.
SpawnReport become_program(const SpawnPlan& plan, bool handlers_cleared) noexcept;

/// The signal part alone, for exec() of this very process and for function children.
void reset_signal_handlers() noexcept;

}  // namespace tine::child
