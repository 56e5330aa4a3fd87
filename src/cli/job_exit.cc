// SPDX-License-Identifier: MIT
#include "cli/job_exit.h"

namespace tine::cli {

namespace {

/// What a shell answers for a program that it cannot run.
JobExit exit_of_unstarted(const Failure& failure) {
  constexpr int kNotFound = 127;
  constexpr int kNotExecutable = 126;
  const bool absent = failure.error && failure.error->kind == ErrorKind::not_found;
  return {.code = absent ? kNotFound : kNotExecutable};
}

}  // namespace

JobExit job_exit(const tine::Result<Finished>& result) {
  if (result) return {result->status.code().value_or(0), result->status.signal().value_or(0)};
  const Failure& failure = result.error();
  if (failure.cause == Cause::not_started) return exit_of_unstarted(failure);
  if (!failure.status) return {.code = 255};
  const int code = failure.cause == Cause::timed_out ? -1 : failure.status->code().value_or(0);
  return {code, failure.status->signal().value_or(0)};
}

}  // namespace tine::cli
