// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "tine/command.h"
#include "tine/fd.h"

namespace tine::command {

/// One stream of a job, read in whole lines.
class LineStream {
 public:
  using Taker = std::function<void(Piece)>;

  /// `fd` becomes non-blocking; `number` is the job's.
  LineStream(Fd fd, int number);
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }

  /// Reads once, and gives the lines that this has completed. Returns the number of bytes, 0 at the
  /// end of the stream, -1 when there is nothing now.
  std::ptrdiff_t read(const Taker& take);
  /// Reads what is there now, and not what a survivor of the job goes on to write.
  void drain(const Taker& take);
  /// Gives a last line without its newline.
  void close(const Taker& take);

 private:
  void give(const Taker& take);

  Fd fd_;
  int number_;
  std::string partial_;
};

}  // namespace tine::command
