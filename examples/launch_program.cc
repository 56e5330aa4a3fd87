// SPDX-License-Identifier: MIT

/// A program: run it, wait, and learn how it ended.
///
/// Python:  def launch_program(name, *args): return os.spawnvp(os.P_WAIT, name, [name, *args])
/// Shell:   program args; echo $?

#include <tine/tine.h>

#include <cstdio>

namespace {

void show(const char* what, const tine::Result<tine::Finished>& result) {
  std::printf("%s: %s\n", what,
              result ? result->status.to_string().c_str() : result.error().to_string().c_str());
}

}  // namespace

int main() {
  const auto done = tine::run({"test", 1, "-lt", 2});
  show("success", done);

  // Everything else is a Failure, which says what happened.
  show("a code", tine::run({"sh", "-c", "exit 3"}));
  show("a signal", tine::run({"sh", "-c", "kill -9 $$"}));
  show("no such program", tine::run({"/no/such/program"}));
  show("a directory", tine::run({"/"}));

  // Where a code is an answer, unchecked() makes it one.
  const auto differ = tine::Command{"cmp", "-s", "/dev/null", "/proc/version"}.unchecked().run();
  if (!differ) return 1;
  std::printf("unchecked: cmp %s\n", differ->status.code() == 1 ? "says they differ" : "failed");
  return done ? 0 : 1;
}
