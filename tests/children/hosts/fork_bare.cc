// SPDX-License-Identifier: MIT

// fork_bare CHILD...: starts CHILD..., forks without the library, lets the copy end by exit (which
// destroys its copy of the handle), prints the child's pid and waits for the end of its stdin.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tine/tine.h"

namespace {
tine::Child child;  // destroyed by exit
}

int main(int argc, char** argv) {
  auto started = tine::Command::of({argv + 1, argv + argc})
                     .in(tine::Redirect::null())
                     .out(tine::Redirect::null())
                     .start();
  if (!started) return 1;
  child = std::move(*started);
  const pid_t copy = ::fork();
  if (copy == 0) {
    const bool inert = child.wait().error().kind == tine::ErrorKind::not_owner;
    std::exit(inert ? 0 : 1);
  }
  int status = 0;
  ::waitpid(copy, &status, 0);
  std::printf("%d %d\n", child.pid(), status);
  std::fflush(stdout);
  for (char byte; ::read(0, &byte, 1) > 0;) {
  }
}
