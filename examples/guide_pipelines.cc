// SPDX-License-Identifier: MIT

/// Pipelines: their text, their statuses, their limits.

#include <tine/tine.h>

#include <cstdio>

using namespace tine::literals;
using tine::Command;

int main() {
  // seq 1000 | grep 7 | wc -l
  const auto sevens = (Command{"seq", 1000} | Command{"grep", 7} | Command{"wc", "-l"}).read();
  if (!sevens) return 1;
  std::printf("%s numbers have a 7\n", sevens->c_str());

  // The status of every stage, also when the pipeline failed.
  const auto output = (Command{"sh", "-c", "echo data; exit 3"} | Command{"tr", "a-z", "A-Z"})
                          .unchecked()
                          .capture();
  if (!output) return 1;
  std::printf("it wrote %s", output->out.c_str());
  for (const auto& stage : output->stages) {
    std::printf("  %s %s\n", stage.name.c_str(), stage.finished.status.to_string().c_str());
  }
  std::printf("so the pipeline %s\n", output->status.to_string().c_str());

  // One time limit for all stages.
  const auto endless = (Command{"sleep", 1000} | Command{"cat"}).timeout(100ms).run();
  if (endless) return 1;
  std::printf("the endless one %s\n",
              endless.error().cause == tine::Cause::timed_out ? "timed out" : "failed otherwise");
  return 0;
}
