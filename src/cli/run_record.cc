// SPDX-License-Identifier: MIT
#include "cli/run_record.h"

#include <chrono>

#include "cli/job_exit.h"

namespace tine::cli {

RunRecord::RunRecord(const Options& options)
    : progress_(report::Progress::Clock::now()), tally_(options.halt) {}

std::expected<void, Error> RunRecord::open_log(const std::string& path, bool append) {
  auto log = JobLog::open(path, append);
  if (!log) return std::unexpected(log.error());
  log_.emplace(std::move(*log));
  return {};
}

void RunRecord::set_total(std::uint64_t total) {
  total_ = total;
  progress_.set_total(total);
}

std::expected<void, Error> RunRecord::add(const Outcome& outcome, const JobNotes& job,
                                          bool ended_by_us) {
  const JobExit exit = job_exit(outcome.result);
  const Usage& used = outcome.result ? outcome.result->usage : outcome.result.error().usage;
  if (ended_by_us) {
    progress_.job_cancelled(used.user + used.sys);
  } else {
    progress_.job_ended({exit.failed(), outcome.elapsed, used.user + used.sys}, job.line);
    tally_.add(exit);
    if (!outcome.result) failures_.add(job.seq, job.line, outcome.result.error());
  }
  return log_ ? log_->write(outcome, job) : std::expected<void, Error>{};
}

}  // namespace tine::cli
