// SPDX-License-Identifier: MIT
#pragma once

/// The books of a run: what each job's end adds to the job log, the figures, the report of failures
/// and the exit code.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "cli/failure_report.h"
#include "cli/job_log.h"
#include "cli/job_notes.h"
#include "cli/options.h"
#include "cli/tally.h"
#include "report/progress.h"
#include "tine/batch.h"
#include "tine/error.h"

namespace tine::cli {

class RunRecord {
 public:
  explicit RunRecord(const Options& options);

  /// Errors: the job log cannot be opened.
  std::expected<void, Error> open_log(const std::string& path, bool append);
  void set_total(std::uint64_t total);

  /// `ended_by_us`: it is in the log, and neither a success nor a failure.
  /// Errors: the job log cannot be written; the rest is done all the same.
  std::expected<void, Error> add(const Outcome& outcome, const JobNotes& job, bool ended_by_us);

  [[nodiscard]] const report::Progress& progress() const { return progress_; }
  [[nodiscard]] const FailureReport& failures() const { return failures_; }
  /// `halted`: the halt rule has ended the run.
  [[nodiscard]] int exit_code(bool halted) const { return tally_.exit_code(halted, total_); }

 private:
  std::optional<JobLog> log_;
  std::optional<std::uint64_t> total_;
  report::Progress progress_;
  FailureReport failures_;
  Tally tally_;
};

}  // namespace tine::cli
