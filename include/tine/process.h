// SPDX-License-Identifier: MIT
#pragma once

/// Looking at processes: who is whose child, and what each one uses. Read from /proc.
///
///     for (const auto& p : tine::ancestors()) std::cout << p.pid << ' ' << p.name << '\n';

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "tine/error.h"

namespace tine {

struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  char state = '?';    ///< R running, S sleeping, D uninterruptible, T stopped, t traced, Z zombie
  std::string name{};  ///< the kernel's, at most 15 characters
  std::chrono::microseconds user{};  ///< CPU time; resolution is one tick, mostly 10 ms
  std::chrono::microseconds sys{};
  std::uint64_t resident = 0;      ///< bytes
  std::uint64_t virtual_size = 0;  ///< bytes
  int threads = 0;
  std::uint64_t start_ticks = 0;  ///< since boot; with the pid it names a process for ever
};

/// Errors: no_such_process; not_permitted or system when /proc is missing or hides it.
/// Source: proc(5), /proc/PID/stat
[[nodiscard]] std::expected<ProcessInfo, Error> process_info(pid_t pid);

/// From `pid` (itself first) up to pid 1, or as far as /proc shows.
[[nodiscard]] std::expected<std::vector<ProcessInfo>, Error> ancestors(pid_t pid);
[[nodiscard]] std::expected<std::vector<ProcessInfo>, Error> ancestors();

/// `root` first, then all its descendants, parents before children.
[[nodiscard]] std::expected<std::vector<ProcessInfo>, Error> process_tree(pid_t root);

/// The command line, words joined by spaces; the name in brackets for a kernel thread or zombie.
[[nodiscard]] std::expected<std::string, Error> command_line(pid_t pid);

/// How many CPUs this process may use: the smaller of its affinity and its cgroup's quota (v1 and
/// v2, the tightest on the way to the root), at least 1.
[[nodiscard]] unsigned usable_cpus();

/// Kills (SIGKILL) every process whose environment holds `mark`, a `NAME=value`, but not the
/// caller, and says how many: also those that left their group, their session and their parent.
/// Requires: `mark` is unique to what shall end. Source: proc(5), /proc/PID/environ
std::size_t kill_marked(std::string_view mark);

/// Kills (SIGKILL) every descendant of the caller and says how many. A subreaper (prctl(2)) reaches
/// with it whatever its children left behind. They stay zombies until the caller reaps them.
std::size_t kill_descendants();

}  // namespace tine
