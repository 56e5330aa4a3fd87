// SPDX-License-Identifier: MIT
#pragma once

/// pidfds: names of processes that cannot be recycled under our hands.
/// Source: pidfd_open(2), pidfd_send_signal(2), waitid(2) P_PIDFD; Linux 5.3, 5.1, 5.4

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <expected>
#include <optional>

#include "tine/error.h"
#include "tine/fd.h"

namespace tine::os {

/// The same file at a number above 2, so that it can never pass for a stdio descriptor of a parent
/// that lacks one.
Fd above_stdio(Fd fd) noexcept;

/// Empty with errno set when it fails.
Fd open_pidfd(pid_t pid) noexcept;

/// 0, or the errno.
int send_signal(int pidfd, int signal) noexcept;

/// Kills the process group that the process of `pidfd` leads or led, whose number is `group`. By
/// the pidfd where the kernel can (6.9): a number may be another group's once the leader was
/// reaped.
void kill_group(int pidfd, pid_t group) noexcept;
/// Whether it can, as the first kill_group() has found out.
[[nodiscard]] bool groups_have_pidfds() noexcept;

/// Waits until `pidfd` is readable (the process has ended), `other` is, or `deadline` passes.
enum class PidfdWait : unsigned char { ended, other_readable, timed_out };
using Deadline = std::optional<std::chrono::steady_clock::time_point>;
/// From now, or as good as never for a duration that the clock cannot hold.
inline std::chrono::steady_clock::time_point deadline_after(std::chrono::nanoseconds duration) {
  constexpr auto kNever = std::chrono::hours(24 * 365 * 50);
  return std::chrono::steady_clock::now() +
         (duration < kNever ? duration : std::chrono::nanoseconds(kNever));
}
/// Until one of both is ready, as their revents say; an fd of -1 never is. False: not by
/// `deadline`.
bool poll_both(pollfd (&watched)[2], Deadline deadline) noexcept;

PidfdWait poll_pidfd(int pidfd, int other, Deadline deadline) noexcept;
/// Whether it has ended by now.
inline bool has_ended(int pidfd) noexcept {
  return poll_pidfd(pidfd, -1, std::chrono::steady_clock::time_point{}) == PidfdWait::ended;
}

/// How an ended process ended, and what it used; it stays a zombie when `keep`.
///
/// Errors: ECHILD with Stage::wait (somebody else has reaped it). Requires: not detached.
struct Reaped {
  ExitStatus status;
  Usage usage;  ///< without wall
};
enum class Reap : unsigned char { keep, take };
/// Nothing: it still runs (only when `block` is false).
std::expected<std::optional<Reaped>, int> wait_pidfd(int pidfd, Reap how, bool block) noexcept;

/// The status of a process that others reaped, or that was never our child. It is there once they
/// have: waits for that, at most `limit`.
/// Source: PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15; POLLHUP of a pidfd, Linux 6.9
std::optional<ExitStatus> exit_info(int pidfd, std::chrono::milliseconds limit) noexcept;

/// The status of a zombie that is somebody else's, who may never reap it. Nothing: it is none, or
/// not one that we may look at.
/// Source: proc(5), /proc/PID/stat, exit_code
std::optional<ExitStatus> zombie_status(int pidfd, pid_t pid);

}  // namespace tine::os
