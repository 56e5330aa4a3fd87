// SPDX-License-Identifier: MIT
#pragma once

/// What is told to a process that is to run something for this one without being a copy of it: a
/// child of the fork server, or this program executed anew.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "tine/cancel.h"
#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"
#include "tine/launch.h"
#include "tine/start_method.h"
#include "work/modules.h"

namespace tine::work {

enum class OrderKind : std::uint8_t { call, pool_keeper, pool_worker };

/// A function of the host, and where it is for others.
struct CodeOfHost {
  std::uint64_t address = 0;  ///< in the host
  CodePlace place{};
};

struct ChildOrder {
  OrderKind kind{};
  std::string name{};
  bool leave_descendants = false;
  std::vector<CodeOfHost> code{};  ///< all that the order speaks of
  std::vector<std::byte> body{};   ///< what the kind needs: call_order.h, pool_order.h
};

/// Beside the order, in this place, the descriptors that any process has; then those of the kind.
enum OrderFd : std::size_t { kCwdFd, kStdinFd, kStdoutFd, kStderrFd, kOwnFds };

/// Makes a child for `order` by fork_server or spawn. `stderr_fd` and `fds` become its own.
///
/// Errors: fork_server_lost, no_worker_entry, not_found (its code lies in no module), timed_out and
///         cancelled (while the fork server did not answer), and those of launch() and start().
std::expected<Child, Error> start_elsewhere(StartMethod method, const LaunchOptions& options,
                                            ChildOrder order, int stderr_fd,
                                            std::span<const int> fds,
                                            const CancelToken& cancel = {});

/// Adds where `function` is, unless it is there or nullptr. Errors: not_found.
std::expected<void, Error> add_code(ChildOrder& order, Code function);

struct ReceivedOrder;
/// In the child: does it. Gives the exit code.
int run_order(ReceivedOrder received) noexcept;

}  // namespace tine::work
