// SPDX-License-Identifier: MIT
#pragma once

/// All that a run puts on its stdout and stderr: what jobs wrote and what goes before it, messages
/// of its own, and the line of progress, which makes way for both.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "cli/job_notes.h"
#include "cli/job_stream.h"
#include "cli/options.h"
#include "cli/output_writer.h"
#include "cli/progress_line.h"
#include "cli/results_table.h"
#include "report/progress.h"
#include "tine/batch.h"
#include "tine/error.h"

namespace tine::cli {

class RunOutput {
 public:
  /// `name`: of the program, before messages. `wait`: see OutputWriter. `options` outlive this.
  RunOutput(const Options& options, std::string name, bool stdout_closed, OutputWriter::Wait wait);

  /// --results NAME.csv. Errors: a sentence for the user.
  std::expected<void, std::string> open_table(const std::string& path);

  /// A message of our own.
  void complain(std::string_view text);
  /// The same as it stands, whole lines.
  void say(std::string_view text);

  /// --dry-run and --shellquote: what would be run, as text.
  void print_instead(const JobLine& line);
  /// A job that starts now; for -v and -t.
  void announce(const JobNotes& job);
  /// Whole lines of a running job.
  void pass_on(Piece piece, const JobNotes& job);
  /// A job that has ended, in the order in which they are to be printed.
  /// Errors: its row cannot be added to the table of results.
  std::expected<void, Error> print(const Outcome& outcome, const JobNotes& job);

  /// See ProgressLine.
  [[nodiscard]] ProgressLine& progress_line() { return progress_line_; }

  /// The first refused write; nothing more is written then.
  [[nodiscard]] const std::optional<Error>& failed() const { return writer_.failed(); }

 private:
  [[nodiscard]] bool is_its_turn(const JobNotes& job) const;
  void print_head(const JobNotes& job);
  std::expected<void, Error> print_output(const Outcome& outcome, const JobNotes& job);
  std::expected<void, Error> print_row(const Outcome& outcome, const JobNotes& job);

  const Options& options_;
  std::string name_;
  ProgressLine progress_line_;
  OutputWriter writer_;
  std::optional<ResultsTable> table_;
  std::uint64_t next_in_order_ = 0;
};

}  // namespace tine::cli
