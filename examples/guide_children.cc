// SPDX-License-Identifier: MIT

/// A child to hold on to: talked to, signalled, waited for, and ended at the latest by its
/// destructor.

#include <tine/tine.h>

#include <cstdio>
#include <exception>
#include <string>

using namespace tine::literals;
using tine::throwing::value;

namespace {

constexpr const char* kServer =
    "trap 'echo reloaded' USR1; trap 'echo bye; exit 0' TERM; echo ready;"
    "while :; do sleep 1000 & wait $!; done";

std::string next_line(tine::ReadEnd& from) {
  std::string line;
  for (char c; value(from.read_some({&c, 1})) == 1 && c != '\n';) line += c;
  return line;
}

void one_child() {
  tine::Child server =
      value(tine::Command{"sh", "-c", kServer}.out(tine::Redirect::pipe()).start());
  tine::ReadEnd says{std::move(server.out())};
  std::printf("pid %d says %s\n", server.pid(), next_line(says).c_str());

  if (auto sent = server.send(tine::Signal::user1); !sent) throw tine::ErrorException(sent.error());
  std::printf("after USR1 it says %s\n", next_line(says).c_str());

  const auto end = value(server.wait_for(10ms));
  std::printf("it %s\n", end ? "has ended" : "still runs");

  // TERM to it and to the sleep that it started; KILL to whoever is left after the grace.
  const tine::Finished done = value(server.terminate(10s));
  std::printf("after TERM it says %s, and %s\n", next_line(says).c_str(),
              done.status.to_string().c_str());
}

void many_children() {
  tine::ChildSet running;
  for (int i = 0; i < 100; ++i) {
    if (auto added = running.add(value(tine::start({"sh", "-c", "exit $0", i % 4}))); !added) {
      throw tine::ErrorException(added.error());
    }
  }
  int by_code[4] = {};
  while (auto child = value(running.next()))
    ++by_code[child->finished()->status.code().value_or(0)];
  std::printf("100 children ended: %d %d %d %d of each code\n", by_code[0], by_code[1], by_code[2],
              by_code[3]);
}

}  // namespace

int main() try {
  one_child();
  many_children();
  {
    const tine::Child forgotten = value(tine::start({"sleep", 1000}));
    std::printf("pid %d sleeps\n", forgotten.pid());
  }  // and is ended and reaped here
  std::printf("and is gone\n");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
