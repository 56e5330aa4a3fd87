// SPDX-License-Identifier: MIT
#pragma once

/// A pipe whose ends close by scope: bytes, or values of one trivially copyable type.
///
///     auto pipe = tine::Pipe::create().value();
///     auto child = tine::launch([&] { pipe.reader.close(); pipe.writer.write_all("hello"); });
///     pipe.writer.close();                     // or the read below never sees the end
///     std::string text = pipe.reader.read_all().value();
///
/// Blocks: reads and writes do; EINTR is retried. A vanished reader is an Error (broken_pipe), not
/// a SIGPIPE. Threads: one end belongs to one thread.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tine/error.h"
#include "tine/fd.h"

namespace tine {

class ReadEnd {
 public:
  ReadEnd() noexcept = default;
  explicit ReadEnd(Fd fd) noexcept : fd_(std::move(fd)) {}

  /// Up to `into.size()` bytes, as they come; 0 is the end.
  [[nodiscard]] std::expected<std::size_t, Error> read_some(std::span<char> into) noexcept;
  /// Fills `into`, or gives fewer bytes when the end comes first.
  [[nodiscard]] std::expected<std::size_t, Error> read_full(std::span<char> into) noexcept;
  /// Everything until the end. Errors: output_limit above `limit` bytes.
  [[nodiscard]] std::expected<std::string, Error> read_all(std::size_t limit = SIZE_MAX);

  void close() noexcept { fd_.reset(); }
  [[nodiscard]] Fd& fd() noexcept { return fd_; }

 private:
  Fd fd_;
};

class WriteEnd {
 public:
  WriteEnd() noexcept = default;
  explicit WriteEnd(Fd fd) noexcept : fd_(std::move(fd)) {}

  /// Errors: broken_pipe: no reader is left. Up to PIPE_BUF (4096) bytes arrive in one piece even
  /// when many writers share the pipe.
  [[nodiscard]] std::expected<void, Error> write_all(std::string_view bytes) noexcept;

  void close() noexcept { fd_.reset(); }
  [[nodiscard]] Fd& fd() noexcept { return fd_; }

 private:
  Fd fd_;
};

struct Pipe {
  ReadEnd reader;
  WriteEnd writer;

  /// Both ends close on exec. Errors: too_many_files.
  [[nodiscard]] static std::expected<Pipe, Error> create();
};

/// Values of one trivially copyable type through a pipe, whole or not at all.
template <class T>
struct TypedPipe {
  static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>,
                "tine::TypedPipe carries plain bytes: strings, containers and pointers mean "
                "nothing in another process");
  static_assert(sizeof(T) <= 4096, "above PIPE_BUF a value could arrive in pieces");

  ReadEnd reader;
  WriteEnd writer;

  [[nodiscard]] static std::expected<TypedPipe, Error> create() {
    auto pipe = Pipe::create();
    if (!pipe) return std::unexpected(pipe.error());
    return TypedPipe{std::move(pipe->reader), std::move(pipe->writer)};
  }

  [[nodiscard]] std::expected<void, Error> send(const T& value) noexcept {
    return writer.write_all({reinterpret_cast<const char*>(&value), sizeof value});
  }

  /// The next value; nothing at the end. Errors: system (EBADMSG) when the end comes in the middle
  /// of a value.
  [[nodiscard]] std::expected<std::optional<T>, Error> receive() noexcept {
    T value;
    auto got = reader.read_full({reinterpret_cast<char*>(&value), sizeof value});
    if (!got) return std::unexpected(got.error());
    if (*got == 0) return std::nullopt;
    if (*got < sizeof value) {
      return std::unexpected(Error{.errno_value = EBADMSG, .stage = Stage::read});
    }
    return value;
  }
};

}  // namespace tine
