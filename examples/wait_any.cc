// SPDX-License-Identifier: MIT

/// Several children, each reported as it ends: not in the order in which they were made.
///
/// Python:  while True: pid, status = os.wait()     # any child, also those of other people's code
/// Here only those in the list are waited for.

#include <tine/tine.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <vector>

using tine::throwing::value;

namespace {

/// Lives until somebody writes into its gate.
int wait_at(tine::Pipe& gate, int code) {
  char token;
  return gate.reader.read_some({&token, 1}) ? code : 99;
}

long microseconds(std::chrono::microseconds time) { return time.count(); }

}  // namespace

int main() try {
  std::vector<tine::Pipe> gates;
  std::vector<tine::Child> children;
  for (int i = 0; i < 5; ++i) {
    gates.push_back(value(tine::Pipe::create()));
    children.push_back(value(tine::launch(wait_at, gates.back(), i)));
  }

  for (const std::size_t next : {3, 0, 4, 1, 2}) {
    if (!gates[next].writer.write_all("!")) return 1;
    const std::size_t who = value(tine::wait_any(children));
    const tine::Finished& end = *children[who].finished();
    std::printf("child %zu, pid %d, %s; it ran for %ld us and used %ld us of CPU time\n", who,
                children[who].pid(), end.status.to_string().c_str(),
                static_cast<long>(end.usage.wall.count() / 1000),
                microseconds(end.usage.user + end.usage.sys));
  }

  const auto nobody = tine::wait_any(children);
  std::printf("and then: %s\n", nobody ? "one more?" : nobody.error().to_string().c_str());
  return nobody ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
