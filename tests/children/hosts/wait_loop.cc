// SPDX-License-Identifier: MIT

// wait_loop: has used the library, then forks three times by itself and waits until there is no
// child left; prints how many were seen.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "tine/tine.h"

int main() {
  if (!tine::Command{"true"}.run()) return 1;
  for (int i = 0; i < 3; ++i) {
    if (::fork() == 0) ::_exit(0);
  }
  int seen = 0;
  while (::wait(nullptr) > 0) ++seen;
  std::printf("%d\n", seen);
}
