// SPDX-License-Identifier: MIT
#pragma once

/// `tine run` is two processes: this one, which the shell started, and the runner beneath it.
///
/// The supervisor is a subreaper: whatever a job leaves behind becomes its child, so that nothing
/// escapes when the run is killed. It passes signals on, stops and continues with the runner and
/// ends as the runner ended. Each watches the other: if the runner is killed, the supervisor kills
/// everything below it; if the supervisor is killed, the runner does (see Runner).

#include <sys/resource.h>

#include <functional>

#include "tine/fd.h"

namespace tine::cli {

struct RunnerSetting {
  Fd supervisor{};  ///< pidfd of the supervisor: readable when it has died
  rlimit files{};   ///< RLIMIT_NOFILE as it was, for the jobs
};

/// Forks; calls `runner` in the child and exits with what it returns. Gives the exit code.
///
/// In both processes INT, TERM, HUP, USR1, TSTP and CONT are blocked, to be read from signalfds.
int supervise(const std::function<int(RunnerSetting)>& runner);

}  // namespace tine::cli
