// SPDX-License-Identifier: MIT

/// A program that believes it is at a terminal: the tests for a terminal succeed, its size is
/// known, and its output comes line by line.
///
/// Shell:   script -qc 'command' /dev/null

#include <tine/tine.h>

#include <cstdio>
#include <string>

using tine::Redirect;

int main() {
  const tine::Command ask{"sh", "-c", "test -t 0 && test -t 1 && stty size || echo no terminal"};

  const auto plain = tine::Command(ask).in(Redirect::null()).read();
  if (!plain) return 1;
  std::printf("with a pipe: %s\n", plain->c_str());

  auto child = tine::Command(ask)
                   .in(Redirect::pseudo_terminal())
                   .out(Redirect::pseudo_terminal())
                   .terminal_size(24, 80)
                   .start();
  if (!child) return 1;
  // One terminal serves both; its other side is the pipe of the lowest, and lines end in CR LF.
  std::string answer;
  tine::ReadEnd terminal{std::move(child->in())};
  for (char c; terminal.read_some({&c, 1}).value_or(0) == 1 && c != '\r';) answer += c;
  const auto end = child->wait();
  if (!end) return 1;
  std::printf("with a terminal: %s\n", answer.c_str());
  return 0;
}
