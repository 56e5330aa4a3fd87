// SPDX-License-Identifier: MIT
#include "cli/stdio.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>
#include <string>

#include "cli/tally.h"
#include "cli/write_whole.h"

namespace tine::cli {

/// A closed stdout is filled with what cannot be written to, so that a job that writes straight to
/// it (-u) is still refused.
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

/// By neither fmt::print, which throws when stdout is full, nor stdio, which would tell at exit.
int print(std::string_view text) {
  const auto written = write_whole(STDOUT_FILENO, text, "standard output");
  if (written) return 0;
  std::fputs(("tine: " + written.error().to_string() + "\n").c_str(), stderr);
  return kOwnFailure;
}

}  // namespace tine::cli
