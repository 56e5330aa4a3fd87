// SPDX-License-Identifier: MIT
#include "tine/series.h"

#include "command/failure.h"

namespace tine {

Series::Series(Mode mode, std::vector<Command> commands)
    : mode_(mode), commands_(std::move(commands)) {}

Series Series::all_of(std::vector<Command> commands) { return {Mode::all, std::move(commands)}; }
Series Series::any_of(std::vector<Command> commands) { return {Mode::any, std::move(commands)}; }

Series& Series::cancel(CancelToken token) {
  cancel_ = std::move(token);
  return *this;
}

SeriesOutcome Series::run_all() const {
  const bool goes_on_after = mode_ == Mode::all;  // which result of a step asks for the next one
  SeriesOutcome outcome;
  outcome.success = goes_on_after;
  bool decided = false;
  for (const Command& original : commands_) {
    SeriesStep step{.name = original.to_string()};
    if (!decided) {
      Command command = original;
      if (cancel_.fd() >= 0) command.cancel(cancel_);
      step.outcome = command.run();
      const auto& result = *step.outcome;
      outcome.success = result && result->status.success();
      outcome.decided_by = outcome.steps.size();
      decided = outcome.success != goes_on_after || cancel_.cancelled();
    }
    outcome.steps.push_back(std::move(step));
  }
  return outcome;
}

Result<SeriesOutcome> Series::run() const {
  SeriesOutcome outcome = run_all();
  if (outcome.success) return outcome;
  if (!outcome.decided_by) {
    Error error{ErrorKind::invalid_argument, 0, Stage::prepare, "a series",
                "no command to succeed"};
    return std::unexpected(command::not_started({}, std::move(error)));
  }
  const auto& deciding = *outcome.steps[*outcome.decided_by].outcome;
  if (!deciding) return std::unexpected(deciding.error());
  // unchecked() made a value of it, but the series still ends there.
  return std::unexpected(command::failed_run(commands_[*outcome.decided_by].spec(),
                                             command::cause_of(deciding->status), *deciding));
}

}  // namespace tine
