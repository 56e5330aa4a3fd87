// SPDX-License-Identifier: MIT

// keep_children COUNT PROGRAM WORD...: starts PROGRAM WORD... COUNT times, prints the first line
// that each says, then "ready"; with MARK in the environment, a NAME=value, that is the guardian's
// mark and in their environment. Ends, without ending them, at the end of its stdin.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "child/guardian.h"
#include "tine/tine.h"

int main(int argc, char** argv) {
  tine::Command command = tine::Command::of({argv + 2, argv + argc});
  tine::child::KillMark kill_mark;
  if (const char* mark = std::getenv("MARK")) {
    auto set = tine::child::KillMark::set(mark);
    if (!set) return 2;
    kill_mark = std::move(*set);
    const std::string text = mark;
    command.env(text.substr(0, text.find('=')), text.substr(text.find('=') + 1));
  }
  command.in(tine::Redirect::null()).out(tine::Redirect::pipe());
  std::vector<tine::Child> children;
  for (int i = 0; i < std::atoi(argv[1]); ++i) {
    auto child = command.start();
    if (!child) return 1;
    std::string line;
    for (char byte = 0; ::read(child->out().get(), &byte, 1) == 1 && byte != '\n';) line += byte;
    std::printf("%d %s\n", child->pid(), line.c_str());
    child->out().reset();
    children.push_back(std::move(*child));
  }
  std::puts("ready");
  std::fflush(stdout);
  for (char byte; ::read(0, &byte, 1) > 0;) {
  }
  ::_exit(0);
}
