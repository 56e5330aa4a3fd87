// SPDX-License-Identifier: MIT
#pragma once

/// From a SpawnPlan to a process.

#include <sys/types.h>

#include <expected>

#include "child/spawn_plan.h"
#include "tine/fd.h"

namespace tine::child {

struct SpawnedProcess {
  pid_t pid = 0;
  Fd pidfd;
};

/// What a new process is to its maker.
enum class Kinship : unsigned char {
  child,
  detached,  ///< made through an intermediate that is gone already: a child of init
};

/// Makes a process that becomes the program of `plan`, without copying this one's memory where the
/// kernel allows. On failure nothing is left behind: the half-made child has been reaped.
///
/// Errors: SpawnReport{stage fork: no process could be made; otherwise what the child met}.
/// Threads: safe. Cost: clone3, two rt_sigprocmask and the wait for exec, whatever the size of the
/// parent.
std::expected<SpawnedProcess, SpawnReport> spawn(const SpawnPlan& plan, Kinship kinship);

/// How programs are started here; tests choose, everybody else finds out.
enum class SpawnMethod : unsigned char { automatic, clone3_vfork, clone_vfork, fork };
void set_spawn_method(SpawnMethod method) noexcept;
[[nodiscard]] SpawnMethod spawn_method() noexcept;

}  // namespace tine::child
