// SPDX-License-Identifier: MIT
#pragma once

/// How a job ended, in the numbers that logs, halt rules and exit codes use.

#include "tine/batch.h"
#include "tine/error.h"

namespace tine::cli {

struct JobExit {
  int code = 0;    ///< -1: it was killed for its timeout
  int signal = 0;  ///< 0: none
  [[nodiscard]] bool failed() const { return code != 0 || signal != 0; }
  /// As a shell would say it: 128 + the signal; 255 when it was ended for its timeout.
  [[nodiscard]] int shell_code() const {
    return signal != 0 && code == 0 ? 128 + signal : code & 0xff;
  }
};

[[nodiscard]] JobExit job_exit(const tine::Result<Finished>& result);

/// Whether it failed for this cause.
[[nodiscard]] inline bool failed_by(Cause cause, const Outcome& outcome) {
  return !outcome.result && outcome.result.error().cause == cause;
}

}  // namespace tine::cli
