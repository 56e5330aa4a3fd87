// SPDX-License-Identifier: MIT

// print_fds: prints the numbers of its open descriptors, ascending, one line.

#include <fcntl.h>
#include <stdio.h>

int main() {
  constexpr int kMost = 20000;
  bool open[kMost];
  for (int fd = 0; fd < kMost; ++fd) open[fd] = fcntl(fd, F_GETFD) >= 0;
  const char* space = "";
  for (int fd = 0; fd < kMost; ++fd) {
    if (!open[fd]) continue;
    printf("%s%d", space, fd);
    space = " ";
  }
  printf("\n");
}
