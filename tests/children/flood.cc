// SPDX-License-Identifier: MIT

// flood BYTES: writes BYTES times "o" to stdout and BYTES times "e" to stderr, in turns of 64 KiB.

#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace {

bool put(int fd, char letter, size_t size) {
  static char block[65536];
  std::memset(block, letter, sizeof block);
  for (size_t done = 0; done < size;) {
    const ssize_t n = write(fd, block, size - done);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  size_t left = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1 << 20;
  while (left > 0) {
    const size_t turn = left < 65536 ? left : 65536;
    if (!put(1, static_cast<char>(111), turn) || !put(2, static_cast<char>(101), turn)) return 1;
    left -= turn;
  }
}
