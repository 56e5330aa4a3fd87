// SPDX-License-Identifier: MIT

/// Time limits: TERM to the whole tree, a grace, KILL. What came before is kept.
///
/// Shell:   timeout --kill-after=1 1 sh -c '...'

#include <tine/tine.h>

#include <cstdio>

using namespace tine::literals;

int main() {
  const auto slow = tine::Command{"sh", "-c", "echo early; sleep 1000; echo late"}
                        .timeout(1s)
                        .grace(500ms)
                        .capture();
  if (slow) return 1;
  std::printf("%s\n", slow.error().to_string().c_str());
  std::printf("it had said: %s", slow.error().output.c_str());

  // One that ignores TERM gets KILL after the grace.
  const auto stubborn =
      tine::Command{"sh", "-c", "trap '' TERM; while :; do :; done"}.timeout(1s).grace(100ms).run();
  if (stubborn) return 1;
  std::printf("cause: %s, and it was %s\n",
              stubborn.error().cause == tine::Cause::timed_out ? "timed out" : "another",
              stubborn.error().status->to_string().c_str());
  return 0;
}
