// SPDX-License-Identifier: MIT
#include "cli/user_shell.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string_view>

#include "tine/command.h"
#include "tine/process.h"

namespace tine::cli {

namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

/// `-bash` for a login shell, so without that dash.
std::string program_name(const std::string& line) {
  std::string name = std::filesystem::path(line.substr(0, line.find(' '))).filename();
  if (name.starts_with('-')) name.erase(0, 1);
  return name;
}

/// Whoever wrote the command had the nearest shell in mind, and its exported functions are for it
/// alone.
std::optional<std::string> shell_above() {
  static constexpr std::string_view kShells[] = {"ash",  "bash",  "dash",  "ksh", "ksh93", "lksh",
                                                 "mksh", "pdksh", "rbash", "sh",  "yash",  "zsh"};
  const auto chain = ancestors(::getppid());
  if (!chain) return std::nullopt;
  for (const auto& process : *chain) {
    const auto line = command_line(process.pid);
    if (!line) continue;
    const std::string name = program_name(*line);
    if (std::ranges::find(kShells, name) == std::end(kShells)) continue;
    if (const auto path = find_program(name)) return path->native();
  }
  return std::nullopt;
}

}  // namespace

std::string user_shell() {
  if (auto wanted = variable("PARALLEL_SHELL")) return *wanted;
  if (auto above = shell_above()) return *above;
  return variable("SHELL").value_or("/bin/sh");
}

}  // namespace tine::cli
