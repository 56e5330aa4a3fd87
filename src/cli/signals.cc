// SPDX-License-Identifier: MIT
#include "cli/signals.h"

#include <sys/resource.h>
#include <unistd.h>

#include <initializer_list>

namespace tine::cli {

sigset_t block_signals() {
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

void die_by(int signal) {
  const rlimit no_core{};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);
}

}  // namespace tine::cli
