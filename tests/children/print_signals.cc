// SPDX-License-Identifier: MIT

// print_signals: prints "blocked:", "ignored:" and "handled:" with the signal numbers of each.

#include <signal.h>
#include <stdio.h>

#include <initializer_list>

int main() {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  printf("blocked:");
  for (int n = 1; n < 65; ++n) {
    if (sigismember(&mask, n) == 1) printf(" %d", n);
  }
  for (const bool ignored : {true, false}) {
    printf(ignored ? "\nignored:" : "\nhandled:");
    for (int n = 1; n < 65; ++n) {
      struct sigaction action = {};
      if (sigaction(n, nullptr, &action) != 0 || action.sa_handler == SIG_DFL) continue;
      if ((action.sa_handler == SIG_IGN) == ignored) printf(" %d", n);
    }
  }
  printf("\n");
}
