// SPDX-License-Identifier: MIT

/// A child per line typed, until 'q' or the end of the input. Children are reaped as they end, also
/// while nobody types, and none is left behind.
///
/// Python:  while input() != "q": pid = os.fork(); ...    # and who calls wait()?

#include <poll.h>
#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

using namespace tine::literals;

namespace {

struct Greeter {
  int number;
  tine::Child child;
};

/// Whether it has ended; if so, it has been reaped as well.
bool reaped(Greeter& greeter) {
  const auto end = greeter.child.wait_for(0s);
  if (end && !*end) return false;
  std::printf("%d reaped pid %d: %s\n", greeter.number, greeter.child.pid(),
              end ? (*end)->status.to_string().c_str() : end.error().to_string().c_str());
  return true;
}

/// Reaps whoever ends until there is something to read.
void reap_until_input(std::vector<Greeter>& greeters) {
  for (;;) {
    std::vector<pollfd> watched{{STDIN_FILENO, POLLIN, 0}};
    for (const auto& greeter : greeters) watched.push_back({greeter.child.fd(), POLLIN, 0});
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;  // a signal
    std::erase_if(greeters, reaped);
    if (watched[0].revents != 0) return;
  }
}

/// One byte at a time: nothing may wait in a buffer, where poll does not see it.
std::optional<std::string> next_line(std::vector<Greeter>& greeters) {
  std::string line;
  for (char c;;) {
    reap_until_input(greeters);
    if (::read(STDIN_FILENO, &c, 1) != 1) return line.empty() ? std::nullopt : std::optional(line);
    if (c == '\n') return line;
    line += c;
  }
}

}  // namespace

int main() {
  std::vector<Greeter> greeters;
  int number = 0;
  while (auto line = next_line(greeters)) {
    if (*line == "q") break;
    auto child = tine::launch([n = ++number, &line] {
      std::printf("%d hello from pid %d, child of pid %d: %s\n", n, ::getpid(), ::getppid(),
                  line->c_str());
    });
    if (!child) {
      std::fprintf(stderr, "%s\n", child.error().to_string().c_str());
      return 1;  // ~Child ends and reaps those that run
    }
    greeters.push_back({number, std::move(*child)});
  }
  for (auto& greeter : greeters) {
    if (!greeter.child.wait()) return 1;
    reaped(greeter);
  }
  std::printf("%d children, none left\n", number);
  return 0;
}
