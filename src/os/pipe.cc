// SPDX-License-Identifier: MIT
#include "tine/pipe.h"

#include <cerrno>

#include "os/io.h"
#include "os/system_error.h"

namespace tine {

std::expected<std::size_t, Error> ReadEnd::read_some(std::span<char> into) noexcept {
  const ssize_t got = os::read_retry(fd_.get(), into.data(), into.size());
  if (got < 0) return os::failed(Stage::read, errno);
  return static_cast<std::size_t>(got);
}

std::expected<std::size_t, Error> ReadEnd::read_full(std::span<char> into) noexcept {
  std::size_t filled = 0;
  while (filled < into.size()) {
    auto got = read_some(into.subspan(filled));
    if (!got) return got;
    if (*got == 0) break;
    filled += *got;
  }
  return filled;
}

std::expected<std::string, Error> ReadEnd::read_all(std::size_t limit) {
  std::string text;
  char block[65536];
  for (;;) {
    auto got = read_some(block);
    if (!got) return std::unexpected(got.error());
    if (*got == 0) return text;
    if (text.size() + *got > limit) {
      return std::unexpected(Error{ErrorKind::output_limit, 0, Stage::read, {}, {}});
    }
    text.append(block, *got);
  }
}

std::expected<void, Error> WriteEnd::write_all(std::string_view bytes) noexcept {
  if (const int error = os::write_all(fd_.get(), bytes)) return os::failed(Stage::write, error);
  return {};
}

std::expected<Pipe, Error> Pipe::create() {
  auto ends = os::make_pipe();
  if (!ends) return std::unexpected(ends.error());
  return Pipe{ReadEnd{std::move(ends->read)}, WriteEnd{std::move(ends->write)}};
}

}  // namespace tine
