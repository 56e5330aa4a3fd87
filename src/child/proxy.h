// SPDX-License-Identifier: MIT
#pragma once

/// Children that one process (a fork server) makes for another, its host.
///
/// The host looks after such a child as after its own: it stands in the host's guardian's table,
/// and the host waits for it and signals it by its pidfd. Only wait(2) is the server's: it reaps
/// the child and tells how it ended, through a socket that goes with the request. When the server
/// dies meanwhile, the child goes on, and its status is what the kernel still knows of it.
///
/// Before the host has written it down the child runs nothing: it waits at a gate, a pipe, for a
/// byte. An end of file there means that nobody wants it any more.

#include <sys/types.h>

#include <chrono>
#include <expected>
#include <functional>
#include <optional>

#include "child/guardian.h"
#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"
#include "tine/launch.h"

namespace tine::child {

// ---- In the server ----

/// Whether there is no other thread. One that was joined a moment ago may still be counted: asks
/// again for up to 5 ms. The idle threads of OpenMP are ended.
[[nodiscard]] bool single_threaded() noexcept;

/// Forks. The handle waits for the child and reaps it; it is in no table of ours. Without a gate
/// it begins at once.
/// Requires: one thread. Errors: too_many_processes, out_of_memory, too_many_files.
std::expected<Child, Error> launch_for_host(const LaunchOptions& options, Fd gate,
                                            const std::function<int()>& body);

/// Says that it exists, and hands over its pidfd; or, with pid 0, why it does not. False: nobody
/// listens.
bool tell_birth(int reports, pid_t pid, int pidfd, int errno_value) noexcept;
bool tell_end(int reports, const Finished& finished) noexcept;

// ---- In the host ----

struct Newborn {
  pid_t pid = 0;
  Fd pidfd{};
};
/// What the server has to say of the child, waiting for that at most until `until`.
/// Errors: the errno of its fork; ECONNRESET: the server is gone; ETIMEDOUT; ECANCELED: `other` is
/// readable.
std::expected<Newborn, int> await_birth(int reports,
                                        std::optional<std::chrono::steady_clock::time_point> until,
                                        int other = -1);

/// Makes it a child of ours, opens the gate, and begins its time.
Child adopt(const LaunchOptions& options, Newborn child, GuardianSeat seat, Fd reports, Fd gate);

/// How it ended, which is told as soon as it has been reaped. Nothing: its server is gone, or does
/// not say so within ten seconds.
std::optional<Finished> told_end(int reports);

}  // namespace tine::child
