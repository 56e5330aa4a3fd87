// SPDX-License-Identifier: MIT

// out_of_reach: belongs to root and is set-user-id: becomes root altogether, so that whoever
// started it may not signal it. Says "ready" then, and waits until its stdin ends; exits with 0.

#include <unistd.h>

int main() {
  if (setresuid(0, 0, 0) != 0) return 2;
  if (write(1, "ready\n", 6) != 6) return 1;
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
}
