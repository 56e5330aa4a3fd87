// SPDX-License-Identifier: MIT
#pragma once

/// `--results NAME.csv` and `NAME.tsv`: one row per job, with what it wrote. `-.csv` is stdout.

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "tine/batch.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::cli {

class ResultsTable {
 public:
  /// Errors: the file cannot be created.
  static std::expected<ResultsTable, Error> open(const std::string& name);

  /// The lines for one job, with the header before the first one; to be written to stdout if
  /// to_stdout(), else by write().
  std::string rows(std::uint64_t seq, const Outcome& outcome, const std::string& command,
                   const std::vector<std::string>& values);
  [[nodiscard]] bool to_stdout() const { return !file_; }
  std::expected<void, Error> write(const std::string& rows);

 private:
  void append(std::string& row, std::string_view cell) const;

  std::string name_;
  char separator_ = ',';
  Fd file_;
  bool header_written_ = false;
};

}  // namespace tine::cli
