// SPDX-License-Identifier: MIT

// nested_host PROGRAM WORD...: a forked child starts PROGRAM WORD...; prints the pid of the forked
// child and of the program, then waits for the end of its stdin.

#include <unistd.h>

#include <cstdio>

#include "tine/tine.h"

int main(int argc, char** argv) {
  auto pids = tine::TypedPipe<pid_t>::create().value();
  auto middle = tine::launch([&] {
    auto inner = tine::Command::of({argv + 1, argv + argc})
                     .in(tine::Redirect::null())
                     .out(tine::Redirect::null())
                     .start();
    if (!inner || !pids.send(inner->pid())) return;
    for (;;) ::pause();
  });
  if (!middle) return 1;
  pids.writer.close();
  const auto inner = pids.receive().value();
  if (!inner) return 1;
  std::printf("%d %d\n", middle->pid(), *inner);
  std::fflush(stdout);
  for (char byte; ::read(0, &byte, 1) > 0;) {
  }
  ::_exit(0);
}
