// SPDX-License-Identifier: MIT
/// Reads records (lines, or whatever the delimiter makes of them) from a file, from an fd that was
/// inherited, or from the arguments of a command line. Reading never waits: when nothing has
/// arrived yet the answer is `would_block`, and the caller polls fd() beside its other work.
///
/// Threads: one reader belongs to one thread.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tine::cli {

enum class Pull {
  job,          ///< one more is there
  would_block,  ///< nothing yet: poll the fd
  end,          ///< there is no more
};

template <class T>
using Result = std::expected<T, std::string>;

class RecordReader {
 public:
  /// Opens a file for reading; `-` is stdin, which is never closed nor made non-blocking.
  ///
  /// Errors: a sentence with the path and the system's reason.
  static Result<RecordReader> open(const std::string& path, std::string delimiter);
  /// Takes `arguments` as records. One that holds the delimiter counts as several.
  static RecordReader from_arguments(std::span<const std::string> arguments, std::string delimiter);

  RecordReader(RecordReader&& other) noexcept;
  RecordReader& operator=(RecordReader&& other) noexcept;
  ~RecordReader();

  /// The next record without its delimiter; `record` is valid until the next call. The last one
  /// needs no delimiter.
  Result<Pull> next(std::string_view& record);
  /// What to poll after would_block; -1 when it never blocks.
  int fd() const { return fd_; }

 private:
  explicit RecordReader(std::string delimiter) : delimiter_(std::move(delimiter)) {}
  bool take(std::string_view& record);
  Result<Pull> fill();
  Result<Pull> read_more();
  void close();

  static constexpr std::size_t kBlock = std::size_t{64} * 1024;

  std::string name_;
  std::string delimiter_;
  std::string buffer_;  ///< what was read and not yet taken is [begin_, end_)
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t searched_ = 0;  ///< no delimiter starts before this place
  int fd_ = -1;
  bool owned_ = false;
  bool at_end_ = false;
};

}  // namespace tine::cli
