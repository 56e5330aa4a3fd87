// SPDX-License-Identifier: MIT

// stop_itself: says "ready", then stops (SIGSTOP); continued, it exits with 0.

#include <signal.h>
#include <unistd.h>

int main() {
  if (write(1, "ready\n", 6) != 6) return 1;
  raise(SIGSTOP);
}
