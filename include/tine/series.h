// SPDX-License-Identifier: MIT
#pragma once

/// Commands one after another, until one fails (`a && b && c`) or until one succeeds (`a || b`).
///
///     auto r = tine::Series::all_of({{"make"}, {"make", "test"}, {"make", "install"}}).run();
///     for (auto& step : r->steps) ...      // each: skipped, or how it ended

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "tine/command.h"
#include "tine/error.h"

namespace tine {

struct SeriesStep {
  std::string name{};
  /// Nothing: skipped, because the series was decided before it.
  std::optional<Result<Finished>> outcome{};
  [[nodiscard]] bool skipped() const noexcept { return !outcome.has_value(); }
};

struct SeriesOutcome {
  bool success = false;
  /// The step that decided: the first failure of all_of, the first success of any_of; the last
  /// step when none did; nothing for an empty series.
  std::optional<std::size_t> decided_by{};
  std::vector<SeriesStep> steps{};
};

class Series {
 public:
  /// Runs while they succeed. Empty: a success, as the neutral element of `&&`.
  [[nodiscard]] static Series all_of(std::vector<Command> commands);
  /// Runs until one succeeds. Empty: a failure, as the neutral element of `||`.
  [[nodiscard]] static Series any_of(std::vector<Command> commands);

  Series& cancel(CancelToken token);

  /// Every status, also when the series as a whole failed: look at `success`.
  [[nodiscard]] SeriesOutcome run_all() const;
  /// The same with the failure that decided as the error.
  [[nodiscard]] Result<SeriesOutcome> run() const;

 private:
  enum class Mode : unsigned char { all, any };
  Series(Mode mode, std::vector<Command> commands);
  Mode mode_;
  std::vector<Command> commands_;
  CancelToken cancel_{};
};

}  // namespace tine
