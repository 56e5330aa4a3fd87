// SPDX-License-Identifier: MIT

// ignore_term: ignores TERM, INT and HUP, says "ready", then sleeps for ever.

#include <signal.h>
#include <unistd.h>

#include <initializer_list>

int main() {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signal(number, SIG_IGN);
  if (write(1, "ready\n", 6) != 6) return 1;
  for (;;) pause();
}
