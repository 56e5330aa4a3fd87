// SPDX-License-Identifier: MIT

/// One switch for many things: a command, a pipeline and a batch end when it is thrown, here by ^C.

#include <signal.h>
#include <tine/tine.h>

#include <cstdio>
#include <string>

using tine::Command;

namespace {

tine::CancelSource stop;

void on_interrupt(int) { stop.cancel(); }  // one write to an eventfd: allowed in a signal handler

const char* cause(const tine::Failure& failure) {
  return failure.cause == tine::Cause::cancelled ? "cancelled" : "something else";
}

}  // namespace

int main() {
  ::signal(SIGINT, on_interrupt);

  const auto command = Command{"sh", "-c", "echo working; sleep 1000"}
                           .cancel(stop.token())
                           .each_line([](tine::Piece) { return ::raise(SIGINT) == 0; });
  std::printf("the command: %s\n", command ? "?" : cause(command.error()));

  // The switch stays where it is: what is given the same token now ends at once.
  const auto pipeline = (Command{"sleep", 1000} | Command{"cat"}).cancel(stop.token()).run();
  std::printf("the pipeline: %s\n", pipeline ? "?" : cause(pipeline.error()));

  auto child = tine::start({"sleep", 1000});
  if (!child) return 1;
  const auto waited = child->wait(stop.token());
  const bool left = !waited && waited.error().kind == tine::ErrorKind::cancelled;
  std::printf("a wait: %s; the child itself runs on\n", left ? "cancelled" : "?");
  const auto ended = child->terminate();
  std::printf("until it is %s\n", ended ? ended->status.to_string().c_str() : "?");
  return 0;
}
