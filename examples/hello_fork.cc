// SPDX-License-Identifier: MIT

/// Hello from both sides of a fork: who am I, and whose child?
///
/// Python:  pid = os.fork()
///          if pid == 0: print(os.getpid(), os.getppid()); os._exit(0)
///          print(os.getpid(), pid); os.waitpid(pid, 0)

#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>

int main() {
  std::printf("parent: I am pid %d, a child of pid %d\n", ::getpid(), ::getppid());

  auto child = tine::launch(
      [] { std::printf("child: I am pid %d, a child of pid %d\n", ::getpid(), ::getppid()); });
  // Here is the parent, and only the parent: the child ended when its function returned.
  if (!child) {
    std::fprintf(stderr, "%s\n", child.error().to_string().c_str());
    return 1;
  }

  const auto finished = child->wait();
  if (!finished) {
    std::fprintf(stderr, "%s\n", finished.error().to_string().c_str());
    return 1;
  }
  std::printf("parent: my child was pid %d, and it %s\n", child->pid(),
              finished->status.to_string().c_str());
  return 0;
}
