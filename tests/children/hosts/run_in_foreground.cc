// SPDX-License-Identifier: MIT

// run_in_foreground WORD...: runs WORD... in the foreground of its terminal, then prints how that
// ended and whose the terminal is. With TIMEOUT in the environment it has so many seconds.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tine/tine.h"

int main(int argc, char** argv) {
  auto command = tine::Command::of({argv + 1, argv + argc}).foreground().unchecked();
  if (const char* limit = std::getenv("TIMEOUT")) {
    command.timeout(std::chrono::seconds(std::atoi(limit)));
  }
  const auto result = command.run();
  const std::string how = result ? result->status.to_string() : result.error().to_string();
  const int terminal = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
  std::printf("%s; terminal %s\n", how.c_str(),
              ::tcgetpgrp(terminal) == ::getpgrp() ? "ours" : "not ours");
}
