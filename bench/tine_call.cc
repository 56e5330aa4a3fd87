// SPDX-License-Identifier: MIT
/// A function in a child through tine, beside the bare system calls in one process.
///
///   tine_call [--memory MIB] [--count N] [--rounds R] [--variants fork,launch,call,server,spawn]
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

int answer() { return 42; }

void call_by(tine::StartMethod method) {
  const auto value = tine::call({.start = method}, answer);
  if (!value) bench::fail(value.error().to_string());
}

}  // namespace

int main(int argc, char** argv) {
  if (auto code = tine::worker_main(argc, argv)) return *code;
  if (!tine::ForkServer::start()) bench::fail("no fork server");  // before the memory
  const bench::Options options = bench::parse(argc, argv);
  bench::measure({{"fork", fork_and_wait},
                  {"launch", launch_and_wait},
                  {"call", call},
                  {"server", [] { call_by(tine::StartMethod::fork_server); }},
                  {"spawn", [] { call_by(tine::StartMethod::spawn); }}},
                 options);
}
