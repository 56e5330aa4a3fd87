// SPDX-License-Identifier: MIT
#include "os/trace.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>

#include "os/io.h"
#include "os/own_pid.h"

namespace tine::os {

bool tracing() noexcept {
  static const bool asked = [] {
    const char* value = std::getenv("TINE_TRACE");  // NOLINT(concurrency-mt-unsafe): read only
    return value != nullptr && *value != '\0' && std::string_view(value) != "0";
  }();
  return asked;
}

void trace(const std::string& line) noexcept {
  static const auto started = std::chrono::steady_clock::now();
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - started;
  char head[64];
  std::snprintf(head, sizeof head, "tine[%d] %9.6f ", own_pid(), since.count());
  try {
    const NoWriteSignals guard;
    const std::string text = head + line + "\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  } catch (const std::bad_alloc&) {
    return;  // a trace is the least of the worries then
  }
}

}  // namespace tine::os
