// SPDX-License-Identifier: MIT

// close_stdio: closes 0, 1 and 2, then exits with 7.

#include <unistd.h>

#include <initializer_list>

int main() {
  for (const int fd : {0, 1, 2}) close(fd);
  return 7;
}
