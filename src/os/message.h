// SPDX-License-Identifier: MIT
#pragma once

/// Messages with descriptors, over sockets that keep their boundaries (SOCK_SEQPACKET).
/// Source: unix(7), SCM_RIGHTS

#include <cstddef>
#include <expected>
#include <span>
#include <vector>

#include "os/pidfd.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::os {

struct SocketPair {
  Fd ours;
  Fd theirs;
};
/// Both close on exec, and are above 2. Errors: too_many_files.
std::expected<SocketPair, Error> make_socket_pair();

/// Sends all of it, or nothing. The receiver gets descriptors of its own. Never a SIGPIPE.
/// Errors: 0, or the errno (EPIPE: nobody will read it; EMSGSIZE: more than the buffer of the
/// socket, some 200 KiB). Requires: at most kMostPassed descriptors.
/// Blocks: while the receiver's queue is full, at most until `until` (ETIMEDOUT) or until `other`
/// is readable (ECANCELED).
inline constexpr std::size_t kMostPassed = 16;
int send_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                 Deadline until = {}, int other = -1) noexcept;

struct Message {
  std::vector<std::byte> bytes{};
  std::vector<Fd> fds{};  ///< close on exec
  bool cut = false;       ///< there was no room for all descriptors in our table
};
/// Waits for the next one. Empty bytes: the other side is gone.
/// Errors: the errno.   Throws bad_alloc.
std::expected<Message, int> receive_message(int socket);

}  // namespace tine::os
