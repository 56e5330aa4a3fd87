// SPDX-License-Identifier: MIT
#pragma once

/// Orders on their way, and what the start methods other than fork have to do with each other.

#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "os/message.h"
#include "tine/cancel.h"
#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"
#include "tine/launch.h"
#include "work/child_order.h"

namespace tine::work {

/// What a child exits with when it did not understand what it is to do.
inline constexpr int kBadOrder = 71;  // EX_OSERR of sysexits.h

/// Errors: 0, or the errno: those of send_message().
int send_order(int socket, const ChildOrder& order, std::span<const int> fds,
               os::Deadline until = {}, int other = -1);

/// An order as it has arrived. It is read by the process that it is for: that may take any amount
/// of memory.
struct ReceivedOrder {
  os::Message message{};
  [[nodiscard]] bool leave_descendants() const noexcept;
};
/// Errors: the errno; ECONNRESET: the other side is gone; EMFILE: its descriptors have no room
/// here, apart from those in `*some`.
std::expected<ReceivedOrder, int> receive_order(int socket, std::vector<Fd>* some = nullptr);

/// By this program, executed anew. Errors: no_worker_entry, and those of start().
std::expected<Child, Error> spawn_order(const LaunchOptions& options, const ChildOrder& order,
                                        std::span<const int> fds);
/// Whether spawn_order() can do anything.
[[nodiscard]] bool has_worker_entry() noexcept;

/// By the fork server. Nothing: there is none any more.
/// Errors: those of launch(); timed_out: no answer within the timeout of `options`; cancelled.
std::expected<std::optional<Child>, Error> ask_fork_server(const LaunchOptions& options,
                                                           const ChildOrder& order,
                                                           std::span<const int> fds,
                                                           const CancelToken& cancel);
/// Why there is none.
[[nodiscard]] Error fork_server_error();

}  // namespace tine::work
