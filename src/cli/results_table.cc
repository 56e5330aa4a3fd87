// SPDX-License-Identifier: MIT
#include "cli/results_table.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "cli/job_exit.h"
#include "cli/write_whole.h"

namespace tine::cli {

std::expected<ResultsTable, std::string> ResultsTable::open(const std::string& name) {
  if (name.ends_with(".json")) {
    return std::unexpected("not supported yet: --results NAME.json; .csv and .tsv are");
  }
  ResultsTable table;
  table.name_ = name;
  table.separator_ = name.ends_with(".tsv") ? '\t' : ',';
  if (name.starts_with("-.")) return table;
  constexpr mode_t kReadWriteAll = 0666;
  table.file_.reset(::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kReadWriteAll));
  if (table.file_) return table;
  const Error error{.errno_value = errno, .stage = Stage::open, .subject = name};
  return std::unexpected(error.to_string());
}

void ResultsTable::append(std::string& row, std::string_view cell) const {
  if (!row.empty() && row.back() != '\n') row += separator_;
  const bool plain =
      cell.find_first_of(separator_ == ',' ? " \"\n\r\t,;" : " \"\n\r\t") == std::string_view::npos;
  if (plain) {
    row += cell;
    return;
  }
  row += '"';
  for (const char c : cell) {
    if (c == '"') row += '"';
    row += c;
  }
  row += '"';
}

std::string ResultsTable::header(std::size_t values) const {
  std::string text;
  for (const char* title : {"Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval",
                            "Signal", "Command"}) {
    append(text, title);
  }
  for (std::size_t i = 1; i <= values; ++i) append(text, "V" + std::to_string(i));
  append(text, "Stdout");
  append(text, "Stderr");
  return text + "\n";
}

std::string ResultsTable::rows(const Outcome& outcome, const JobNotes& job) {
  std::string text = std::exchange(header_written_, true) ? "" : header(job.values.size());
  const JobExit exit = job_exit(outcome.result);
  const std::chrono::duration<double> started = outcome.started.time_since_epoch();
  const std::chrono::duration<double> elapsed = outcome.elapsed;
  append(text, std::to_string(job.seq));
  append(text, ":");
  append(text, fmt::format("{:.3f}", started.count()));
  append(text, fmt::format("{:.3f}", elapsed.count()));
  append(text, "0");
  append(text, std::to_string(outcome.out.size()));
  append(text, std::to_string(exit.code));
  append(text, std::to_string(exit.signal));
  append(text, job.line);
  for (const auto& value : job.values) append(text, value);
  append(text, outcome.out.read());
  append(text, outcome.err.read());
  return text + "\n";
}

std::expected<void, Error> ResultsTable::write(const std::string& rows) {
  return write_whole(file_.get(), rows, name_);
}

}  // namespace tine::cli
