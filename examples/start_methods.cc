// SPDX-License-Identifier: MIT

/// Three ways to start a child that runs a function, and what each child sees of a variable that
/// was changed before: a fork is a copy of the process as it is now, a fork server of what it was
/// when the server began, and a spawned child is the program anew.
///
/// Python:  multiprocessing.set_start_method("fork")   # "forkserver", "spawn"
///          child = Process(target=look, name="by-fork"); child.start(); child.join()

#include <tine/tine.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace {

int variable = 1;

struct Seen {
  std::string name{};
  int variable = 0;
};

/// As ps(1) names this process, and what it has.
Seen look() {
  Seen seen{.variable = variable};
  std::getline(std::ifstream("/proc/self/comm"), seen.name);
  return seen;
}

}  // namespace

int main(int argc, char** argv) {
  if (auto code = tine::worker_main(argc, argv)) return *code;  // what spawn begins with
  tine::ForkServer::start().value();                            // before the change
  variable = 999;

  using tine::StartMethod;
  std::vector<tine::Future<Seen>> children;  // start
  children.push_back(tine::call_async({.name = "by-fork"}, look));
  children.push_back(
      tine::call_async({.name = "by-server", .start = StartMethod::fork_server}, look));
  children.push_back(tine::call_async({.name = "by-spawn", .start = StartMethod::spawn}, look));
  for (auto& child : children) {  // join
    const Seen seen = child.get().value();
    std::printf("%-9s sees %d\n", seen.name.c_str(), seen.variable);
  }

  // What has to be forked is refused elsewhere, with the reason.
  const auto captures = tine::call({.name = "a lambda", .start = StartMethod::spawn},
                                   [&children] { return children.size(); });
  std::printf("%s\n", captures.error().to_string().c_str());
}
