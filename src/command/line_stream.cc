// SPDX-License-Identifier: MIT
#include "command/line_stream.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "os/io.h"
#include "os/own_fds.h"

namespace tine::command {

LineStream::LineStream(Fd fd, int number) : fd_(std::move(fd)), number_(number) {
  os::make_own_end(fd_.get());
}

std::ptrdiff_t LineStream::read(const Taker& take) {
  char block[65536];
  const ssize_t got = os::read_retry(fd_.get(), block, sizeof block);
  if (got <= 0) return got < 0 && errno == EAGAIN ? -1 : 0;
  const std::string_view piece(block, static_cast<std::size_t>(got));
  constexpr std::size_t kLongestLine = 1 << 20;
  const auto newline = piece.rfind('\n');
  if (newline == std::string_view::npos && partial_.size() + piece.size() < kLongestLine) {
    partial_.append(piece);
    return got;
  }
  const auto whole = newline == std::string_view::npos ? piece.size() : newline + 1;
  partial_.append(piece.substr(0, whole));
  give(take);
  partial_.assign(piece.substr(whole));
  return got;
}

void LineStream::drain(const Taker& take) {
  int left = 0;
  if (::ioctl(fd_.get(), FIONREAD, &left) != 0) return;
  while (left > 0) {
    const std::ptrdiff_t got = read(take);
    if (got <= 0) return;
    left -= static_cast<int>(got);
  }
}

void LineStream::close(const Taker& take) {
  fd_.reset();
  give(take);
  partial_.clear();
}

void LineStream::give(const Taker& take) {
  if (!partial_.empty()) take({number_, partial_});
}

}  // namespace tine::command
