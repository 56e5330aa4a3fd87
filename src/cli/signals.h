// SPDX-License-Identifier: MIT
#pragma once

/// The signals that `tine run` acts on, blocked from the start and read as values.

#include <signal.h>

#include <initializer_list>

namespace tine::cli {

/// Blocks them and SIGCHLD for this process; gives the set. Under nohup(1) the hangup stays
/// ignored: a signalfd would see it all the same, because a blocked signal is queued though it is
/// ignored.
inline sigset_t block_signals() {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGTSTP, SIGCHLD}) {
    struct sigaction now{};
    const bool nohup =
        signal == SIGHUP && ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
    if (nohup) continue;
    sigaddset(&mask, signal);
    // Ignored by whoever started us (a script ignores INT for what it runs in the background): for
    // us it is not, nor for the jobs; and with CHLD ignored nobody could be waited for.
    ::signal(signal, SIG_DFL);
  }
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  return mask;
}

}  // namespace tine::cli
