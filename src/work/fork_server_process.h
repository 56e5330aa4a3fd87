// SPDX-License-Identifier: MIT
#pragma once

/// The two processes of a fork server. The keeper is forked by the host and does nothing but make a
/// server, and another when that has died; it holds the socket of requests open meanwhile, so that
/// none is lost. The server runs `preload`, then forks a child for each request, and tells how each
/// has ended. Both end when the host ends, becomes another program, or closes its side.

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "tine/fd.h"
#include "tine/fork_server.h"

namespace tine::work {

/// Seen by all three.
struct ForkServerBoard {
  std::atomic<pid_t> server{0};
  std::atomic<std::uint32_t> forked{0};  ///< 1: there has been a first server; woken then
  std::atomic<std::uint64_t> served{0};  ///< requests, by all servers
  std::atomic<bool> idle{false};         ///< the server has begun, and has no request in hand
  /// Why there is no server; empty: there is, or its keeper was killed. Written before that is so.
  std::array<char, 1024> reason{};
};

/// The whole life of the keeper. Gives its exit code.
int run_fork_server_keeper(ForkServerBoard& board, Fd requests, Fd host,
                           const ForkServerOptions& options);

}  // namespace tine::work
