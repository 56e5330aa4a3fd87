// SPDX-License-Identifier: MIT
#include "cli/write_whole.h"

#include <unistd.h>

#include <cerrno>

namespace tine::cli {

std::expected<void, Error> write_whole(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      return std::unexpected(Error{.errno_value = errno, .stage = Stage::write, .subject = path});
    }
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

}  // namespace tine::cli
