// SPDX-License-Identifier: MIT
#include "command/job_attempt.h"

#include <utility>

namespace tine::command {

Outcome outcome_of(const JobAttempt& attempt, Result<Finished> result) {
  Outcome outcome;
  outcome.index = attempt.job.index;
  outcome.slot = attempt.job.slot;
  outcome.attempts = attempt.number;
  outcome.started = attempt.started.date;
  outcome.elapsed = std::chrono::steady_clock::now() - attempt.started.clock;
  if (result) {
    outcome.elapsed = result->usage.wall;
  } else {
    result.error().attempts = attempt.number;
    if (result.error().elapsed.count() > 0) outcome.elapsed = result.error().elapsed;
  }
  outcome.result = std::move(result);
  return outcome;
}

}  // namespace tine::command
