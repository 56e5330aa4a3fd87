// SPDX-License-Identifier: MIT

/// Whose child is the parent? The chain of ancestors, with their names, up to pid 1.
///
/// Shell:   pid=$$; while [ "$pid" -gt 0 ]; do ps -o pid=,comm= -p $pid; pid=$(ps -o ppid= -p
/// $pid); done

#include <tine/tine.h>

#include <cstdio>

namespace {

int show_ancestors() {
  const auto chain = tine::ancestors();
  if (!chain) {
    std::fprintf(stderr, "%s\n", chain.error().to_string().c_str());
    return 1;
  }
  for (const auto& process : *chain) {
    std::printf("pid %d %s, child of pid %d\n", process.pid, process.name.c_str(), process.parent);
  }
  std::printf("the last one %s\n",
              chain->back().parent == 0 ? "has no parent" : "has more above it");
  return 0;
}

int wait_for(std::expected<tine::Child, tine::Error> child) {
  const auto end = child ? child->wait() : std::unexpected(child.error());
  return end && end->status.success() ? 0 : 1;
}

}  // namespace

int main() {
  return wait_for(tine::launch({.name = "child"}, [] {
    return wait_for(tine::launch({.name = "grandchild"}, show_ancestors));
  }));
}
