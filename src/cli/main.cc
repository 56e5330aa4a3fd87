// SPDX-License-Identifier: MIT

/// The command `tine`. Under the name `parallel` (a symbolic link) it is `tine run`.

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cli/run_main.h"
#include "cli/stdio.h"
#include "cli/version.h"

namespace {

constexpr const char* kHelp =
    "Usage: tine run [OPTIONS] COMMAND [ARGUMENTS] ::: VALUES\n"
    "\n"
    "  run        runs a command once for each value, many at a time (tine run --help)\n"
    "  --version  says which tine this is\n"
    "\n"
    "Example: tine run gzip -9 {} ::: *.log\n";

}  // namespace

int main(int argc, char** argv) {
  const bool stdout_closed = tine::cli::fill_stdio();
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  const std::string_view path = argc > 0 ? argv[0] : "tine";
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (name == "parallel") return tine::cli::run_main("parallel", true, stdout_closed, words);
  if (name == "sem") {
    std::fputs("sem: not supported yet: semaphores\n", stderr);
    return 255;
  }
  const std::string_view verb = words.empty() ? "--help" : std::string_view(words[0]);
  if (verb == "run") {
    return tine::cli::run_main("tine run", false, stdout_closed, {words.begin() + 1, words.end()});
  }
  if (verb == "--version" || verb == "-V") {
    return tine::cli::print(tine::cli::version_text());
  }
  const bool asked = verb == "--help" || verb == "-h" || verb == "help";
  if (asked && !words.empty()) return tine::cli::print(kHelp);
  const std::string unknown = "tine: there is no command '" + std::string(verb) + "'\n";
  std::fputs(((asked ? "" : unknown) + kHelp).c_str(), stderr);
  return 255;
}
