// SPDX-License-Identifier: MIT
#pragma once

/// `--results NAME.csv` and `NAME.tsv`: one row per job, with what it wrote. `-.csv` is stdout.

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "cli/job_notes.h"
#include "tine/batch.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::cli {

class ResultsTable {
 public:
  /// Errors: the file cannot be created; .json, which is not supported yet. A sentence for the
  /// user.
  static std::expected<ResultsTable, std::string> open(const std::string& name);

  /// The lines for one job, with the header before the first one; to be written to stdout if
  /// to_stdout(), else by write().
  std::string rows(const Outcome& outcome, const JobNotes& job);
  [[nodiscard]] bool to_stdout() const { return !file_; }
  std::expected<void, Error> write(const std::string& rows);

 private:
  [[nodiscard]] std::string header(std::size_t values) const;
  void append(std::string& row, std::string_view cell) const;

  std::string name_;
  char separator_ = ',';
  Fd file_;
  bool header_written_ = false;
};

}  // namespace tine::cli
