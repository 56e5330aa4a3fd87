// SPDX-License-Identifier: MIT
#include "os/io.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "os/pidfd.h"
#include "os/system_error.h"

namespace tine::os {

ssize_t read_retry(int fd, void* into, std::size_t size) noexcept {
  for (;;) {
    const ssize_t got = ::read(fd, into, size);
    if (got >= 0 || errno != EINTR) return got;
  }
}

ssize_t write_retry(int fd, const void* from, std::size_t size) noexcept {
  for (;;) {
    const ssize_t put = ::write(fd, from, size);
    if (put >= 0 || errno != EINTR) return put;
  }
}

int write_all(int fd, std::string_view bytes) noexcept {
  const NoSigpipe guard;
  while (!bytes.empty()) {
    const ssize_t put = write_retry(fd, bytes.data(), bytes.size());
    if (put < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return 0;
}

int read_file(const char* path, std::string& into) {
  into.clear();
  const Fd file{::open(path, O_RDONLY | O_CLOEXEC)};
  if (!file) return errno;
  char block[4096];
  for (;;) {
    const ssize_t got = read_retry(file.get(), block, sizeof block);
    if (got < 0) return errno;
    if (got == 0) return 0;
    into.append(block, static_cast<std::size_t>(got));
  }
}

std::expected<PipeEnds, Error> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return failed(Stage::pipe, errno);
  Fd read{ends[0]};
  Fd write{ends[1]};
  // In a process without stdio these would become the stdio that its children inherit.
  PipeEnds above{above_stdio(std::move(read)), above_stdio(std::move(write))};
  if (!above.read || !above.write) return failed(Stage::pipe, errno);
  return above;
}

namespace {

sigset_t sigpipe_set() noexcept {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  return set;
}

bool sigpipe_pending() noexcept {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGPIPE) == 1;
}

}  // namespace

NoSigpipe::NoSigpipe() noexcept : was_pending_(sigpipe_pending()) {
  const sigset_t set = sigpipe_set();
  sigset_t old;
  pthread_sigmask(SIG_BLOCK, &set, &old);
  was_blocked_ = sigismember(&old, SIGPIPE) == 1;
}

NoSigpipe::~NoSigpipe() {
  const int saved = errno;
  const sigset_t set = sigpipe_set();
  if (!was_pending_ && sigpipe_pending()) {
    const timespec now{};
    while (::sigtimedwait(&set, nullptr, &now) < 0 && errno == EINTR) {
    }
  }
  if (!was_blocked_) pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  errno = saved;
}

}  // namespace tine::os
