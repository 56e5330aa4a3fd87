// SPDX-License-Identifier: MIT
#include "cli/stdio.h"

#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>

namespace tine::cli {

/// A closed stdout is filled with what cannot be written to, so that a job that writes straight to
/// it
/// (-u) is still refused.
bool fill_stdio() {
  const bool stdout_closed = ::fcntl(STDOUT_FILENO, F_GETFD) < 0;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // Gets the lowest free number, which is this one.
    [[maybe_unused]] const int opened =
        ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
  return stdout_closed;
}

}  // namespace tine::cli
