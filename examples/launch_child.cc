// SPDX-License-Identifier: MIT

/// A function with its arguments in a child, which ends when the function does: the line after
/// launch() never runs in it, also when the function throws.
///
/// Python:  def launch_child(fn, *args, **kwargs):
///              if os.fork() == 0:
///                  fn(*args, **kwargs)
///                  os._exit(0)          # skipped by an exception: then the child runs on out
///                  there

#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

using tine::throwing::value;

namespace {

int add(int a, int b) { return a + b; }

void greet(const std::string& name, const std::vector<int>& numbers) {
  std::printf("child pid %d of pid %d: hello %s, you gave me %zu numbers\n", ::getpid(),
              ::getppid(), name.c_str(), numbers.size());
}

void fail(const std::string& why) { throw std::runtime_error(why); }

/// The line after launch(): if a child came here too, there would be two of each.
void after(const char* what, tine::Child child) {
  std::printf("after launch(%s): only pid %d is here\n", what, ::getpid());
  std::printf("  the child %s\n", value(child.wait()).status.to_string().c_str());
}

}  // namespace

int main() try {
  std::printf("I am pid %d\n", ::getpid());
  after("add", value(tine::launch(add, 40, 2)));

  std::string name = "Ada";
  after("greet", value(tine::launch(greet, name, std::vector{1, 2, 3})));

  // Its type and text go to stderr; 70 is EX_SOFTWARE of sysexits.h.
  after("fail", value(tine::launch(fail, "as intended")));

  // A change that a child makes is its own.
  after("a change", value(tine::launch([&name] { name = "Bob"; })));
  std::printf("the name is still %s\n", name.c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
