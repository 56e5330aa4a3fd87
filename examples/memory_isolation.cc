// SPDX-License-Identifier: MIT

/// A change on one side of a fork is not seen on the other, whatever is changed; and what to do
/// where it shall be seen.
///
/// Python:  x = 1
///          if os.fork() == 0: x = 2; os._exit(0)
///          os.wait(); print(x)                      # 1

#include <tine/tine.h>

#include <atomic>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using tine::throwing::value;

namespace {

template <class Body>
void in_child(Body body) {
  auto child = value(tine::launch(body));
  if (!value(child.wait()).status.success()) throw std::runtime_error("a child failed");
}

std::string text(const std::vector<int>& numbers) {
  std::string line;
  for (const int number : numbers) line += std::to_string(number) + ' ';
  return line;
}

void change_in_the_child() {
  int scalar = 1;
  std::vector<int> container{1, 2, 3};
  const int* const address = container.data();
  in_child([&] {
    scalar = 999;
    container[0] = 999;
    container.push_back(4);
    std::printf("in the child:  %d, [ %s]\n", scalar, text(container).c_str());
  });
  std::printf("in the parent: %d, [ %s]\n", scalar, text(container).c_str());

  // The address is the same, the memory is not.
  in_child([&] { std::printf("another child, at the same address: %d\n", *address); });
}

void change_in_the_parent() {
  int scalar = 1;
  auto go = value(tine::Pipe::create());
  auto child = value(tine::launch([&] {
    go.writer.close();
    (void)value(go.reader.read_all());  // until the parent has changed it
    std::printf("the parent changed it after the fork; the child sees: %d\n", scalar);
  }));
  scalar = 2;
  go.writer.close();
  (void)value(child.wait());
}

void shared() {
  struct Progress {
    std::atomic<int> done;
    std::atomic<bool> stop;
  };
  tine::Shared<Progress> progress;
  tine::SharedSpan<int> squares(5);
  auto child = value(tine::launch([&] {
    for (std::size_t i = 0; i < squares.size(); ++i) {
      squares[i] = static_cast<int>(i * i);
      ++progress->done;
    }
    while (!progress->stop) std::this_thread::yield();  // told while it runs
  }));
  while (progress->done < 5) std::this_thread::yield();
  std::printf("Shared, while the child runs: %d done\n", progress->done.load());
  progress->stop = true;
  (void)value(child.wait());
  std::printf("SharedSpan, filled by the child: %s\n",
              text({squares.begin(), squares.end()}).c_str());
}

void value_back() {
  // Most often this is all that is needed, and anything can come back.
  const auto numbers = value(tine::call([] {
    std::vector<int> made(5);
    std::iota(made.begin(), made.end(), 10);
    return made;
  }));
  std::printf("call, the value that the function returned: %s\n", text(numbers).c_str());
}

}  // namespace

int main() try {
  change_in_the_child();
  change_in_the_parent();
  shared();
  value_back();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
