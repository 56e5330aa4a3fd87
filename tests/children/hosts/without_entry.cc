// SPDX-License-Identifier: MIT

// without_entry: a program that does not call worker_main(): prints what becomes of calls by spawn,
// by a fork server that was never started, by one, and by one that has been killed with its keeper;
// then how many children a loop of wait() sees.

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdio>

#include "tine/tine.h"

namespace {

int twice(int n) { return 2 * n; }

void try_call(const char* how, tine::StartMethod method) {
  const auto result = tine::call({.start = method}, twice, 21);
  std::printf("%s: %s\n", how,
              result ? std::to_string(*result).c_str() : result.error().to_string().c_str());
}

}  // namespace

int main() {
  using tine::ForkServer;
  using tine::StartMethod;
  try_call("spawn", StartMethod::spawn);
  try_call("never started", StartMethod::fork_server);
  if (!ForkServer::start()) return 1;
  try_call("started", StartMethod::fork_server);
  ::kill(ForkServer::keeper_pid(), SIGKILL);
  while (ForkServer::is_running()) ::poll(nullptr, 0, 1);
  try_call("killed", StartMethod::fork_server);
  ForkServer::stop();
  if (!ForkServer::start()) return 1;
  try_call("again", StartMethod::fork_server);
  int seen = 0;
  while (::wait(nullptr) > 0) ++seen;
  std::printf("waited for %d\n", seen);
}
