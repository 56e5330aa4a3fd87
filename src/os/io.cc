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

namespace {

constexpr int kOfRefusedWrites[] = {SIGPIPE, SIGXFSZ};

}  // namespace

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
  const NoWriteSignals guard;
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

NoWriteSignals::NoWriteSignals() noexcept {
  sigpending(&pending_before_);
  sigset_t both;
  sigemptyset(&both);
  for (const int signal : kOfRefusedWrites) sigaddset(&both, signal);
  pthread_sigmask(SIG_BLOCK, &both, &mask_before_);
}

NoWriteSignals::~NoWriteSignals() {
  const int saved = errno;
  sigset_t pending;
  sigpending(&pending);
  for (const int signal : kOfRefusedWrites) {
    if (sigismember(&pending, signal) != 1 || sigismember(&pending_before_, signal) == 1) continue;
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal);
    const timespec now{};
    while (::sigtimedwait(&only, nullptr, &now) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  errno = saved;
}

int set_file_size(int fd, off_t size) noexcept {
  const NoWriteSignals guard;
  return ::ftruncate(fd, size) == 0 ? 0 : errno;
}

}  // namespace tine::os
