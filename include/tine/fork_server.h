// SPDX-License-Identifier: MIT
#pragma once

/// A process that was forked while there was one thread and little memory, and forks the others.
///
///     int main() {
///       tine::ForkServer::start().value();          // before threads, big data, connections
///       start_threads();
///       auto answer = tine::call({.start = tine::StartMethod::fork_server}, solve, 42);
///     }
///
/// A fork of a process with threads may meet a lock that nobody will ever release; a fork of one
/// with gigabytes copies page tables for many milliseconds. The server has neither. Its children
/// have its environment, limits and globals, and this process's working directory, stdin, stdout
/// and stderr; this process looks after them as after its own: deadlines, and the end of all when
/// it dies.
///
/// The server may be killed: its keeper, a process that never runs anything of yours, makes a new
/// one. What the old one had forked goes on, and requests that it had not answered are made again.
/// With the keeper gone too, children are spawned if the program has worker_main(), else calls fail
/// with Error{fork_server_lost}. While it is stopped, or still in its preload, a call waits for it
/// until its timeout or its CancelToken says otherwise, and the making of a pool without limit.
/// Threads: all of it is safe, apart from start(). After a fork: the child has no fork server.

#include <sys/types.h>

#include <expected>

#include "tine/error.h"
#include "tine/launch.h"
#include "tine/plain_function.h"
#include "tine/start_method.h"

namespace tine {

struct ForkServerOptions {
  /// Runs once in each server before it serves: loads what all children are to have. One that
  /// throws, ends the process or leaves threads running is told by the calls.
  PlainFunction<void()> preload{};
  ThreadPolicy threads = ThreadPolicy::refuse;
};

class ForkServer {
 public:
  /// Does nothing when there is one.
  /// Errors: threads_running: it is too late; too_many_processes, out_of_memory, too_many_files,
  ///         guardian.
  [[nodiscard]] static std::expected<void, Error> start(const ForkServerOptions& options = {});
  /// Whether requests would be heard.
  [[nodiscard]] static bool is_running() noexcept;
  /// Ends server and keeper; its children go on. Without a server nothing happens.
  static void stop();

  /// The process that forks at this moment, and the one that watches over it; 0: none.
  [[nodiscard]] static pid_t server_pid() noexcept;
  [[nodiscard]] static pid_t keeper_pid() noexcept;
};

}  // namespace tine
