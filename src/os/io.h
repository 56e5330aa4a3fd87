// SPDX-License-Identifier: MIT
#pragma once

/// Reads, writes and opens that a signal cannot cut short.

#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "tine/error.h"
#include "tine/fd.h"

namespace tine::os {

/// As read(2) and write(2) without EINTR: -1 with errno for every other error.
ssize_t read_retry(int fd, void* into, std::size_t size) noexcept;
ssize_t write_retry(int fd, const void* from, std::size_t size) noexcept;

/// Writes all of it. A vanished reader gives EPIPE, never a SIGPIPE: the signal is blocked for the
/// calling thread and a pending one of our making is taken back.
/// Errors: 0, or the errno.
int write_all(int fd, std::string_view bytes) noexcept;

/// The whole of a small file, such as those in /proc. Errors: 0, or the errno.
int read_file(const char* path, std::string& into);

struct PipeEnds {
  Fd read;
  Fd write;
};
/// Both ends close on exec from the start.
std::expected<PipeEnds, Error> make_pipe();

/// While it lives, what a refused write does to the calling thread is its errno alone: SIGPIPE and
/// SIGXFSZ (a file longer than RLIMIT_FSIZE, also one in memory) are kept away.
/// Source: sigtimedwait(2), setrlimit(2)
class NoWriteSignals {
 public:
  NoWriteSignals() noexcept;
  ~NoWriteSignals();
  NoWriteSignals(const NoWriteSignals&) = delete;
  NoWriteSignals& operator=(const NoWriteSignals&) = delete;

 private:
  sigset_t pending_before_;
  sigset_t mask_before_;
};

/// ftruncate(2) without the signal. Gives 0 or the errno.
int set_file_size(int fd, off_t size) noexcept;

}  // namespace tine::os
