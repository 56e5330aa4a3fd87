// SPDX-License-Identifier: MIT
#include "cli/job_environment.h"

#include <fmt/core.h>
#include <stdlib.h>
#include <unistd.h>

#include "tine/process.h"

namespace tine::cli {

std::string set_job_environment() {
  constexpr const char* kMark = "TINE_RUN";
  const auto self = process_info(::getpid());
  const std::string value = fmt::format("{}.{}", ::getpid(), self ? self->start_ticks : 0);
  ::setenv(kMark, value.c_str(), 1);
  ::setenv("PARALLEL_PID", std::to_string(::getppid()).c_str(), 1);
  ::setenv("PARALLEL_SSHHOST", ":", 1);  // what {host} becomes
  return fmt::format("{}={}", kMark, value);
}

}  // namespace tine::cli
