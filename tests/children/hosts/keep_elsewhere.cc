// SPDX-License-Identifier: MIT

// keep_elsewhere: holds a call and a pool by fork server, and the same by spawn, whose functions
// never end and have started a program each. Prints the pids of all, then "ready"; ends, without
// ending them, at the end of its stdin.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "tine/tine.h"

namespace {

void hang(int say) {
  auto child = tine::Command{"sleep", "1000"}.start();
  char line[64];
  const int size = std::snprintf(line, sizeof line, "%d\n%d\n", ::getpid(), child->pid());
  if (::write(say, line, static_cast<std::size_t>(size)) != size) ::_exit(1);
  for (;;) ::pause();
}

/// In a child nothing of ours is open but stdout.
void hang_out() { hang(1); }

}  // namespace

int main(int argc, char** argv) {
  if (auto code = tine::worker_main(argc, argv)) return *code;
  if (!tine::ForkServer::start()) return 1;
  std::vector<tine::Future<void>> calls;
  std::vector<tine::Pool> pools;
  std::vector<tine::PoolFuture<void>> tasks;
  for (const auto method : {tine::StartMethod::fork_server, tine::StartMethod::spawn}) {
    calls.push_back(tine::call_async({.start = method}, hang_out));
    pools.emplace_back(tine::PoolOptions{.workers = 1, .start = method});
    tasks.push_back(pools.back().submit(hang_out));
  }
  for (char byte; ::read(0, &byte, 1) > 0;) {
  }
  ::_exit(0);
}
