// SPDX-License-Identifier: MIT

/// docs/library.md: functions that give values back.

#include <poll.h>
#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

void show(const char* what, const tine::Result<int>& result) {
  if (result) {
    std::printf("%s: %d\n", what, *result);
  } else {
    const tine::Failure& failure = result.error();
    std::printf("%s: %s, %s%s%s\n", what, std::string(to_string(failure.cause)).c_str(),
                failure.status ? failure.status->to_string().c_str() : "no status",
                failure.type.empty() ? "" : ", ", failure.type.c_str());
  }
}

}  // namespace

int main() {
  const std::vector<int> numbers{1, 2, 3, 4};
  show("a sum", tine::call([&] { return std::accumulate(numbers.begin(), numbers.end(), 0); }));

  show("an exception", tine::call([]() -> int { throw std::out_of_range("no such thing"); }));
  show("a crash", tine::call([]() -> int { std::abort(); }));
  show("exit", tine::call([]() -> int { std::exit(0); }));
  show("a hang", tine::call({.timeout = 100ms}, []() -> int {
         for (;;) {
         }
       }));

  // Of any size, read where the child has put it.
  const auto large = tine::call_in_place([] { return std::vector<double>(1'000'000, 0.5); });
  std::printf("in place: %zu numbers\n", large.value().size());

  // Several at once.
  auto left = tine::call_async([] { return 6; });
  auto right = tine::call_async([] { return 7; });
  std::printf("together: %d\n", left.get().value() * right.get().value());

  // By their descriptors, beside whatever else an event loop waits for.
  auto quick = tine::call_async([] { return 1; });
  auto stuck = tine::call_async([]() -> int {
    for (;;) ::pause();
  });
  pollfd both[] = {{quick.fd(), POLLIN, 0}, {stuck.fd(), POLLIN, 0}};
  ::poll(both, 2, -1);
  std::printf("the quick one first: %s\n", both[0].revents != 0 ? "yes" : "no");
  stuck.cancel();
}
