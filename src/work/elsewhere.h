// SPDX-License-Identifier: MIT
#pragma once

/// Orders on their way, and what the start methods other than fork have to do with each other.

#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"
#include "tine/launch.h"
#include "work/child_order.h"

namespace tine::work {

/// What a child exits with when it did not understand what it is to do.
inline constexpr int kBadOrder = 71;  // EX_OSERR of sysexits.h

struct ReceivedOrder {
  ChildOrder order{};
  std::vector<Fd> fds{};
};
/// Errors: 0, or the errno; of receiving ECONNRESET: the other side is gone.
int send_order(int socket, const ChildOrder& order, std::span<const int> fds);
std::expected<ReceivedOrder, int> receive_order(int socket);

/// By this program, executed anew. Errors: no_worker_entry, and those of start().
std::expected<Child, Error> spawn_order(const LaunchOptions& options, const ChildOrder& order,
                                        std::span<const int> fds);
/// Whether spawn_order() can do anything.
[[nodiscard]] bool has_worker_entry() noexcept;

/// By the fork server. Nothing: there is none any more.
/// Errors: those of launch(); timed_out: no answer within the timeout of `options`.
std::expected<std::optional<Child>, Error> ask_fork_server(const LaunchOptions& options,
                                                           const ChildOrder& order,
                                                           std::span<const int> fds);
/// Why there is none.
[[nodiscard]] Error fork_server_error();

}  // namespace tine::work
