// SPDX-License-Identifier: MIT

// exec_away PROGRAM CHILD...: starts CHILD..., prints its pid, then becomes PROGRAM by
// Command::exec.

#include <cstdio>

#include "tine/tine.h"

int main(int argc, char** argv) {
  auto child = tine::Command::of({argv + 2, argv + argc})
                   .in(tine::Redirect::null())
                   .out(tine::Redirect::null())
                   .start();
  if (!child) return 1;
  std::printf("%d\n", child->pid());
  std::fflush(stdout);
  const auto error = tine::Command{argv[1]}.exec();
  std::fprintf(stderr, "%s\n", error.to_string().c_str());
  return 1;
}
