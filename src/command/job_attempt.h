// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include "tine/batch.h"

namespace tine::command {

struct StartTime {
  std::chrono::system_clock::time_point date{};
  std::chrono::steady_clock::time_point clock{};

  static StartTime now() {
    return {std::chrono::system_clock::now(), std::chrono::steady_clock::now()};
  }
};

/// A job, and its latest attempt.
struct JobAttempt {
  Batch::Job job{};
  int number = 0;  ///< from 1; 0: it has not been tried yet
  StartTime started{};
  std::optional<Failure> failure{};  ///< of this attempt, while the job waits for another

  void begin_next(StartTime now) {
    ++number;
    started = now;
    failure.reset();
  }
};

/// How the job has ended with this attempt.
[[nodiscard]] Outcome outcome_of(const JobAttempt& attempt, Result<Finished> result);

}  // namespace tine::command
