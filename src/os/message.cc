// SPDX-License-Identifier: MIT
#include "os/message.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "os/pidfd.h"
#include "os/system_error.h"

namespace tine::os {

namespace {

struct Control {
  alignas(cmsghdr) char bytes[CMSG_SPACE(kMostPassed * sizeof(int))]{};
};

/// What came in it is ours from here on.
std::vector<Fd> descriptors_of(msghdr& message) {
  std::vector<Fd> fds;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    fds.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

std::expected<SocketPair, Error> make_socket_pair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return failed(Stage::pipe, errno, "a pair of sockets");
  }
  SocketPair pair{above_stdio(Fd{ends[0]}), above_stdio(Fd{ends[1]})};
  if (!pair.ours || !pair.theirs) return failed(Stage::pipe, EMFILE, "a pair of sockets");
  return pair;
}

namespace {

/// 0: there is room, or nobody to make any.
int await_room(int socket, Deadline until, int other) noexcept {
  pollfd watched[2] = {{socket, POLLOUT, 0}, {other, POLLIN, 0}};
  if (!poll_both(watched, until)) return ETIMEDOUT;
  return watched[0].revents != 0 ? 0 : ECANCELED;
}

}  // namespace

int send_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                 Deadline until, int other) noexcept {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  Control control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno != EINTR && errno != EAGAIN) return errno;
    if (errno == EINTR) continue;
    if (const int error = await_room(socket, until, other)) return error;
  }
  return 0;
}

std::expected<Message, int> receive_message(int socket) {
  const auto receive = [&](Message& into, Control* control, int flags) {
    iovec part{into.bytes.data(), into.bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (control != nullptr) {
      message.msg_control = control->bytes;
      message.msg_controllen = sizeof control->bytes;
    }
    ssize_t got = 0;
    do {
      got = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got >= 0 && control != nullptr) {
      into.fds = descriptors_of(message);
      into.cut = (message.msg_flags & MSG_CTRUNC) != 0;
    }
    return got;
  };
  Message message;
  const ssize_t size = receive(message, nullptr, MSG_PEEK | MSG_TRUNC);
  if (size < 0) return std::unexpected(errno);
  message.bytes.resize(static_cast<std::size_t>(size));
  Control control;
  if (receive(message, &control, 0) < 0) return std::unexpected(errno);
  return message;
}

}  // namespace tine::os
