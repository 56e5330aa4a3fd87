// SPDX-License-Identifier: MIT
/// A function in a child through tine, beside the bare system calls in one process.
///
///   tine_call [--memory MIB] [--count N] [--rounds R] [--variants fork,launch,call]
#include <sys/wait.h>
#include <tine/tine.h>
#include <unistd.h>

#include "rounds.h"

namespace {

/// The least: the child ends at once, and no value comes back.
void fork_and_wait() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) bench::fail("fork");
}

void launch_and_wait() {
  auto child = tine::launch([] {});
  if (!child || !child->wait()) bench::fail("launch");
}

void call() {
  const auto value = tine::call([] { return 42; });
  if (!value) bench::fail(value.error().to_string());
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  bench::measure({{"fork", fork_and_wait}, {"launch", launch_and_wait}, {"call", call}}, options);
}
