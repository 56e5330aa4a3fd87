// SPDX-License-Identifier: MIT

// print_links FD: writes to FD where its 0, 1 and 2 lead, one per line.

#include <unistd.h>

#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
  const int to = argc > 1 ? std::atoi(argv[1]) : 1;
  for (const char* fd : {"0", "1", "2"}) {
    char target[4096];
    const ssize_t size =
        readlink((std::string("/proc/self/fd/") + fd).c_str(), target, sizeof target);
    const std::string line = std::string(target, size > 0 ? static_cast<size_t>(size) : 0) + "\n";
    if (write(to, line.data(), line.size()) < 0) return 1;
  }
}
