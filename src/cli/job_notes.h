// SPDX-License-Identifier: MIT
#pragma once

/// What is kept of a job from its start until its output has been printed.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tine::cli {

struct JobNotes {
  std::uint64_t seq = 0;
  std::string line{};                 ///< its command, for logs and messages
  std::optional<std::string> tag{};   ///< --tag, --tagstring: before each line that it writes
  std::vector<std::string> values{};  ///< its arguments; only for a table of results
  std::string out_path{};             ///< the file that takes its stdout: --files, --results
  std::uint64_t passed_on = 0;        ///< bytes of stdout that went through us while it ran

  /// As the batch counts.
  [[nodiscard]] std::uint64_t index() const { return seq - 1; }
};

}  // namespace tine::cli
