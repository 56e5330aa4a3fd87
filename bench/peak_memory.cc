// SPDX-License-Identifier: MIT
/// The peak memory of a launcher that is several processes: runs a command, and samples the
/// high-water mark (VmHWM) of it and of those descendants that run the same executable, by name.
///
///   peak_memory PROGRAM [ARG...]     prints: SUM_KIB LARGEST_KIB PROCESSES RUSAGE_KIB
///
/// SUM_KIB is strict: pages that the processes share count once for each. RUSAGE_KIB is ru_maxrss
/// of the whole tree from wait4, the largest process whatever it runs. It is a C++ program because
/// Linux hands the mark of whoever starts a program on to it, and Python's would hide tine's.
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "reference/bare_spawn.h"

namespace {

constexpr int kSampleMilliseconds = 5;

// Between fork or vfork and exec a job looks like its launcher, memory and all. So only what stays
// for longer than that counts, even on a loaded machine, and the command itself.
constexpr auto kShortestLife = std::chrono::milliseconds(200);

using Clock = std::chrono::steady_clock;

struct Mark {
  Clock::time_point first = Clock::now();
  Clock::time_point last;
  long kib = 0;
};

std::string executable_of(pid_t pid) {
  std::error_code ignored;
  const auto link = "/proc/" + std::to_string(pid) + "/exe";
  return std::filesystem::read_symlink(link, ignored).filename().string();
}

long high_water_mark_of(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
  }
  return 0;  // it has ended
}

/// With the pid it names a process for good: 100,000 jobs go round all the pids three times.
/// Source: proc_pid_stat(5), field 22; the name in field 2 may hold blanks and parentheses.
std::string start_time_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  for (int field = 3; field <= 22; ++field) fields >> text;
  return text;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  std::error_code ignored;
  const auto tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, ignored)) {
    std::ifstream list(task.path() / "children");
    for (pid_t child = 0; list >> child;) children.push_back(child);
  }
  return children;
}

using Marks = std::map<std::pair<pid_t, std::string>, Mark>;

void sample(pid_t pid, const std::string& name, Marks& marks) {
  const std::string executable = executable_of(pid);
  if (executable.find(name) != std::string::npos) {
    Mark& mark = marks[{pid, start_time_of(pid)}];
    mark.kib = std::max(mark.kib, high_water_mark_of(pid));
    mark.last = Clock::now();
  }
  for (const pid_t child : children_of(pid)) sample(child, name, marks);
}

void print(pid_t root, const Marks& marks, const rusage& usage) {
  long sum = 0;
  long largest = 0;
  int processes = 0;
  for (const auto& [process, mark] : marks) {
    if (process.first != root && mark.last - mark.first < kShortestLife) continue;
    sum += mark.kib;
    largest = std::max(largest, mark.kib);
    ++processes;
  }
  std::printf("%ld %ld %d %ld\n", sum, largest, processes, usage.ru_maxrss);
}

}  // namespace

int main(int, char** argv) {
  const int null = bare::check(open("/dev/null", O_WRONLY | O_CLOEXEC), "/dev/null");
  const pid_t pid = bare::start_vfork({.argv = argv + 1, .out = null});
  pollfd ended{static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0};
  bare::check(ended.fd, "pidfd_open");
  const std::string name = executable_of(pid);  // vfork returned, so exec is done
  Marks marks;
  do {
    sample(pid, name, marks);
  } while (poll(&ended, 1, kSampleMilliseconds) == 0);
  int status = 0;
  rusage usage{};
  bare::check(wait4(pid, &status, 0, &usage), "wait4");
  bare::expect_zero(status, argv[1]);
  print(pid, marks, usage);
}
