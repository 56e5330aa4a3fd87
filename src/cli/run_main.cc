// SPDX-License-Identifier: MIT
#include "cli/run_main.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>

#include "cli/job_stream.h"
#include "cli/options.h"
#include "cli/runner.h"
#include "cli/stdio.h"
#include "cli/supervisor.h"
#include "cli/tally.h"
#include "cli/version.h"
#include "os/temporary_directory.h"
#include "tine/process.h"

namespace tine::cli {

namespace {

/// Counts distinct values of one line of /proc/cpuinfo; the usable CPUs where it has none.
std::size_t cpuinfo_count(std::string_view field) {
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> values;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field)) values.insert(line);
  }
  return values.empty() ? usable_cpus() : values.size();
}

int print_limits() {
  return print(
      fmt::format("Longest command line used: {} bytes (-s changes it)\n"
                  "Longest command line that the kernel takes: {} bytes with its environment\n",
                  max_line_length(), ::sysconf(_SC_ARG_MAX)));
}

int print_count(std::size_t count) { return print(std::to_string(count) + "\n"); }

/// Versions are dates there: 20221122.
int check_version(std::uint64_t wanted) {
  const int printed = print_count(kParallelVersion);
  return wanted <= kParallelVersion ? printed : kOwnFailure;
}

int act(const Options& options) {
  switch (options.action) {
    case Action::run: break;
    case Action::help: return print(help_text());
    case Action::version: return print(version_text());
    case Action::minimum_version: return check_version(options.minimum_version);
    case Action::number_of_cpus:
    case Action::number_of_threads: return print_count(usable_cpus());
    case Action::number_of_sockets: return print_count(cpuinfo_count("physical id"));
    case Action::number_of_cores: return print_count(cpuinfo_count("core id"));
    case Action::max_line_length: return print_count(max_line_length());
  }
  return 0;
}

/// --plain counts on the command line alone.
bool is_plain(const std::vector<std::string>& words) {
  const auto alone = parse_command_line(words);
  return alone && alone->options.plain;
}

std::vector<std::string> with_environment_options(std::vector<std::string> words) {
  const char* given = std::getenv("PARALLEL");  // NOLINT(concurrency-mt-unsafe): one thread
  if (given == nullptr || is_plain(words)) return words;
  std::vector<std::string> all = split_environment_options(given);
  all.insert(all.end(), std::make_move_iterator(words.begin()),
             std::make_move_iterator(words.end()));
  return all;
}

}  // namespace

int run_main(const std::string& name, bool drop_in, bool stdout_closed,
             std::vector<std::string> words) {
  auto command_line = parse_command_line(with_environment_options(std::move(words)));
  if (!command_line) {
    std::fputs((name + ": " + command_line.error() + "\n").c_str(), stderr);
    return kOwnFailure;
  }
  if (command_line->options.action != Action::run) return act(command_line->options);
  if (command_line->options.show_limits && print_limits() != 0) return kOwnFailure;
  if (command_line->stdin_by_default && ::isatty(STDIN_FILENO) == 1) {
    std::fputs(fmt::format("{}\n", terminal_hint()).c_str(), stderr);
  }
  std::string& tmpdir = command_line->options.temporary_directory;
  if (tmpdir.empty()) tmpdir = os::temporary_directory();
  const RunSetting setting{std::move(*command_line), name, drop_in, stdout_closed};
  return supervise(
      [&setting](RunnerSetting runner) { return run_jobs(setting, std::move(runner)); });
}

}  // namespace tine::cli
