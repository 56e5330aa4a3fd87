// SPDX-License-Identifier: MIT

// die_by SIGNAL: sends itself SIGNAL, with the default action and no core.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>

int main(int argc, char** argv) {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const int number = argc > 1 ? std::atoi(argv[1]) : SIGKILL;
  signal(number, SIG_DFL);
  kill(getpid(), number);
  for (;;) pause();
}
