// SPDX-License-Identifier: MIT
#include "cli/run_output.h"

#include <utility>

#include "cli/job_exit.h"
#include "cli/job_maker.h"

namespace tine::cli {

RunOutput::RunOutput(const Options& options, std::string name, bool stdout_closed,
                     OutputWriter::Wait wait)
    : options_(options),
      name_(std::move(name)),
      progress_line_(options.bar || options.eta || options.progress),
      writer_(stdout_closed, options.temporary_directory, std::move(wait),
              [this] { progress_line_.hide(); }) {}

std::expected<void, std::string> RunOutput::open_table(const std::string& path) {
  auto table = ResultsTable::open(path);
  if (!table) return std::unexpected(std::move(table.error()));
  table_.emplace(std::move(*table));
  return {};
}

void RunOutput::complain(std::string_view text) { say(name_ + ": " + std::string(text) + "\n"); }

void RunOutput::say(std::string_view text) { writer_.say(text); }

void RunOutput::print_instead(const JobLine& line) {
  const std::string text =
      options_.shell_quote > 0 ? quoted_times(line.line, options_.shell_quote) : line.line;
  writer_.write_lines(1, text + "\n", tag_of(line, options_));
}

bool RunOutput::is_its_turn(const JobNotes& job) const {
  return !options_.keep_order || job.index() == next_in_order_;
}

/// Only for output that is not grouped: as it comes at once, its head does too.
void RunOutput::announce(const JobNotes& job) {
  if (options_.grouping == Grouping::job) return;
  const bool at_once = options_.grouping == Grouping::none || is_its_turn(job);
  for (const auto& [fd, wanted] :
       {std::pair{1, options_.verbose > 0}, {2, options_.verbose_on_stderr}}) {
    if (!wanted) continue;
    if (at_once) {
      writer_.write(fd, job.line + "\n");
    } else {
      writer_.hold(job.index(), fd, job.line + "\n", std::nullopt);
    }
  }
}

void RunOutput::pass_on(Piece piece, const JobNotes& job) {
  if (is_its_turn(job)) {
    writer_.write_lines(piece.fd, piece.text, job.tag);
  } else {
    writer_.hold(job.index(), piece.fd, piece.text, job.tag);
  }
}

std::expected<void, Error> RunOutput::print(const Outcome& outcome, const JobNotes& job) {
  next_in_order_ = outcome.index + 1;
  std::expected<void, Error> done;
  if (!failed_by(Cause::cancelled, outcome)) done = print_output(outcome, job);
  if (options_.keep_order) writer_.release(next_in_order_);
  return done;
}

std::expected<void, Error> RunOutput::print_output(const Outcome& outcome, const JobNotes& job) {
  if (options_.grouping == Grouping::job) print_head(job);
  std::expected<void, Error> done;
  if (table_) {
    done = print_row(outcome, job);
  } else {
    writer_.write_file(1, outcome.out, job.tag);
    writer_.write_file(2, outcome.err, job.tag);
  }
  if (options_.files && !job.out_path.empty()) {
    writer_.write_lines(1, job.out_path + "\n", job.tag);
  }
  if (failed_by(Cause::not_started, outcome)) {
    writer_.write(2, name_ + ": " + outcome.result.error().to_string() + "\n");
  }
  return done;
}

void RunOutput::print_head(const JobNotes& job) {
  if (options_.verbose > 0) writer_.write_lines(1, job.line + "\n", job.tag);
  if (options_.verbose_on_stderr) writer_.write(2, job.line + "\n");
}

std::expected<void, Error> RunOutput::print_row(const Outcome& outcome, const JobNotes& job) {
  const std::string rows = table_->rows(outcome, job);
  if (!table_->to_stdout()) return table_->write(rows);
  writer_.write(1, rows);
  return {};
}

}  // namespace tine::cli
