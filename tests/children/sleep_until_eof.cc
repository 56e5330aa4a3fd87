// SPDX-License-Identifier: MIT

// sleep_until_eof: says "ready", then waits until its stdin ends; exits with 0.

#include <unistd.h>

int main() {
  if (write(1, "ready\n", 6) != 6) return 1;
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
}
