// SPDX-License-Identifier: MIT

/// The first chapter of docs/library.md: run, read, capture, and what a Command can be told.
///
/// Shell:   the line above each call

#include <tine/tine.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

using namespace tine::literals;

namespace {

int fail(const tine::Failure& failure) {
  std::fprintf(stderr, "%s\n", failure.to_string().c_str());
  return 1;
}

}  // namespace

int main() {
  // test -d /usr
  const auto there = tine::run({"test", "-d", "/usr"});
  if (!there) return fail(there.error());
  std::printf("run: %s\n", there->status.to_string().c_str());

  // version=$(cat /proc/sys/kernel/ostype)
  const auto version = tine::read({"cat", "/proc/sys/kernel/ostype"});
  if (!version) return fail(version.error());
  std::printf("read: '%s'\n", version->c_str());

  // (cd /usr && SEED=7 sh -c '...') < input 2> errors > output
  const auto output = tine::Command{"sh", "-c", "cat; echo \"seed $SEED in $PWD\"; echo done >&2"}
                          .dir("/usr")
                          .env("SEED", "7")
                          .input("what it reads\n")
                          .timeout(30s)
                          .capture();
  if (!output) return fail(output.error());
  std::printf("capture: out '%s', err '%s'\n", output->out.c_str(), output->err.c_str());

  // grep -q needle haystack; case $? in 0) ...;; 1) ...;; *) ...;; esac
  const auto found = tine::Command{"grep", "-q", "needle"}.input("hay\n").unchecked().run();
  if (!found) return fail(found.error());
  std::printf("unchecked: %s\n", found->status.code() == 1 ? "no needle" : "something else");

  // Words stay words: no quoting, no expansion, whatever they contain.
  const std::vector<std::string> names{"two words", "$HOME", "it's", "*"};
  tine::Command print{"printf", "[%s]"};
  print.args(names);
  const auto printed = print.read();
  if (!printed) return fail(printed.error());
  std::printf("words: %s\n", printed->c_str());

  // A shell, where one is wanted, gets values as arguments.
  const auto shouted = tine::Command::shell("echo \"$1\" | tr a-z A-Z", {"it's $HOME"}).read();
  if (!shouted) return fail(shouted.error());
  std::printf("shell: %s\n", shouted->c_str());
  return 0;
}
