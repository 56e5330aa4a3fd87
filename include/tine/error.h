// SPDX-License-Identifier: MIT
#pragma once

/// What can go wrong, as values.
///
/// `Error`: the environment failed (pipe, fork, chdir, exec, wait): returned by start, launch, exec
/// and by operations on handles. `Failure`: the work failed: returned by everything that runs work
/// to its end, as `Result<T>`.
///
///     tine::Result<std::string> head = tine::read({"git", "rev-parse", "HEAD"});
///     if (!head) std::cerr << head.error().to_string() << '\n';

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tine/exit_status.h"

namespace tine {

/// What kind of obstacle it was: what a program decides on. The errno beside it is for people.
enum class ErrorKind : std::uint8_t {
  system,                  ///< none of the below: see errno_value
  invalid_argument,        ///< the request itself makes no sense; the text says why
  not_found,               ///< no such program, file or directory
  not_executable,          ///< it exists, but may not be executed
  is_directory,            ///< a program was expected
  missing_interpreter,     ///< the script's #! line names a program that does not exist
  bad_format,              ///< neither a binary for this machine nor a script with a #! line
  argument_list_too_long,  ///< argv + environment exceed what the kernel takes; sizes in the text
  not_permitted,           ///< EPERM, EACCES
  too_many_files,          ///< EMFILE, ENFILE: descriptors are used up
  too_many_processes,      ///< EAGAIN of fork: RLIMIT_NPROC, pids cgroup, pid_max
  out_of_memory,           ///< ENOMEM
  no_space,                ///< ENOSPC, EDQUOT, EFBIG
  broken_pipe,             ///< whoever should read is gone
  no_such_process,         ///< it has been reaped already
  reaped_elsewhere,        ///< its status went to another wait() of this process
  output_limit,            ///< more output than the capture limit allows
  timed_out,               ///< the deadline passed
  cancelled,               ///< a CancelToken said stop
  not_owner,               ///< the handle belongs to another process (used after a fork)
  guardian,                ///< the guardian, which ends orphans, could not be started
  threads_running,         ///< refused: a fork of a process with several threads
  captures,                ///< the function can only be forked: it has more than code and arguments
  fork_server_lost,        ///< no fork server, and no worker_main() to do without
  no_worker_entry,         ///< spawn: this program did not call worker_main() first in main
  undecodable,             ///< the bytes are not a value of the wanted type
  unencodable,             ///< the value has no form that travels
};

/// Where it happened: which step of launching, talking or waiting.
enum class Stage : std::uint8_t {
  prepare,
  open,
  pipe,
  pseudo_terminal,
  guardian,
  fork,
  session,
  process_group,
  foreground,
  cwd,
  resource_limit,
  affinity,
  nice,
  oom_score,
  groups,
  gid,
  uid,
  descriptors,
  exec,
  send,
  wait,
  read,
  write,
  encode,
  decode,
  proc,
};

/// The environment failed.
struct Error {
  ErrorKind kind = ErrorKind::system;
  int errno_value = 0;  ///< 0 where no system call was refused
  Stage stage = Stage::prepare;
  std::string subject{};  ///< the program, path, pid or fd that it was about
  std::string hint{};     ///< what more is known: sizes, limits, the missing interpreter

  /// `cannot execute 'gcc': No such file or directory`.
  [[nodiscard]] std::string to_string() const;
};

/// Why work has no result.
enum class Cause : std::uint8_t {
  threw,
  exited,     ///< exited with a code other than 0
  signaled,   ///< killed by a signal that was not ours
  timed_out,  ///< killed by us: its time was up
  out_of_memory,
  cancelled,  ///< killed by us: it was cancelled
  lost,       ///< ended, but nobody can say how
  undecodable,
  not_started,  ///< could not be started: see `error`
};

[[nodiscard]] std::string_view to_string(Cause cause) noexcept;

/// What a finished process used.
///
/// Source: the rusage of the raw waitid(2) system call, so reaped descendants are included.
struct Usage {
  std::chrono::nanoseconds wall{};
  std::chrono::microseconds user{};
  std::chrono::microseconds sys{};
  /// Peak resident set, bytes. Empty when it is not above the launcher's own high-water mark:
  /// Linux carries that mark through exec, so a smaller figure would be the parent's.
  std::optional<std::uint64_t> max_rss{};
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::uint64_t voluntary_switches = 0;
  std::uint64_t involuntary_switches = 0;
};

/// A process that ended, and what it used.
struct Finished {
  ExitStatus status{};
  Usage usage{};
};

/// An exception, as far as it travels.
struct Thrown {
  std::string type{};
  std::string message{};
};

/// The work failed: one type for every way, so one handler and one retry policy serve all.
struct Failure {
  Cause cause = Cause::lost;
  std::optional<Error> error{};        ///< for not_started, lost, undecodable: why
  std::optional<ExitStatus> status{};  ///< how the process ended, where one ran
  std::string subject{};               ///< what ran: the program's name
  std::string type{};                  ///< of the exception
  std::string message{};               ///< of the exception
  std::vector<Thrown> causes{};        ///< what that was thrown because of, outermost first
  std::string backtrace{};             ///< one frame a line, innermost first; the last without '\n'
  /// Of it, the innermost frame outside the C and C++ libraries: `parse(int) at parse.cc:88`.
  std::string place{};
  std::string output{};       ///< stdout captured so far
  std::string stderr_tail{};  ///< the last of what it wrote to stderr
  Usage usage{};
  int attempts = 1;
  std::chrono::nanoseconds elapsed{};
  /// Which input it was, in a failure that stands for all results of a map: that of map_reduce()
  /// and MapResults::values().
  std::optional<std::size_t> item{};

  /// One line: `'make' exited with 2 after 1.2 s: no rule to make target`.
  [[nodiscard]] std::string to_string() const;
};

namespace detail {

/// The answer to a second get(), or to one of a future that has been moved from.
Failure nothing_to_get(const std::string& name);

}  // namespace detail

template <class T>
using Result = std::expected<T, Failure>;

}  // namespace tine
