// SPDX-License-Identifier: MIT
#pragma once

/// The signals that `tine run` acts on, blocked from the start and read as values.

#include <signal.h>

#include <initializer_list>

namespace tine::cli {

/// Blocks them and SIGCHLD for this process; gives the set.
inline sigset_t block_signals() {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGTSTP, SIGCHLD}) {
    sigaddset(&mask, signal);
  }
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  return mask;
}

}  // namespace tine::cli
