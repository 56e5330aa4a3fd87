// SPDX-License-Identifier: MIT
#pragma once

/// Programs joined by pipes, without a shell.
///
///     auto n = (tine::Command{"zcat", log} | tine::Command{"grep", "-c", "500"}).read();
///
/// The status of a pipeline: the rightmost stage that failed, else success. A stage that died of
/// SIGPIPE after its reader had ended counts as a success (`yes | head -1`). Every stage's own
/// status and usage is kept. All stages share one process group; a stage that cannot start ends the
/// ones already running. The first stage's stdin, the last one's stdout and everybody's stderr go
/// where their commands say; timeout, grace, cancellation and limits are those of the pipeline.

#include <chrono>
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "tine/child.h"
#include "tine/command.h"
#include "tine/error.h"

namespace tine {

namespace detail {
struct PipelineRun;
}

/// How one stage ended.
struct StageOutcome {
  std::string name{};
  Finished finished{};
  bool reader_left = false;  ///< died of SIGPIPE after its reader had ended: not a failure
};

struct PipelineOutput : Output {
  std::vector<StageOutcome> stages{};
};

/// A pipeline that runs: every stage a Child, from left to right.
///
/// Its destructor ends what still runs: TERM to all stages, one grace for all of them, KILL; what
/// the stages left in their group goes with the last of them.
struct RunningPipeline {
  RunningPipeline() = default;
  RunningPipeline(RunningPipeline&&) = default;
  RunningPipeline& operator=(RunningPipeline&&) = default;
  ~RunningPipeline();

  /// TERM to all stages, up to `limit` for all of them to end, then KILL; reaps.
  void terminate(std::chrono::milliseconds limit);

  std::vector<Child> stages{};
  std::chrono::milliseconds grace{2000};  ///< of the destructor
};

class Pipeline {
 public:
  Pipeline(Command first, Command second);
  Pipeline& then(Command next);

  Pipeline& timeout(std::chrono::nanoseconds limit);
  Pipeline& grace(std::chrono::milliseconds grace);
  Pipeline& unchecked(bool on = true);
  Pipeline& cancel(CancelToken token);
  Pipeline& capture_limit(std::size_t bytes, OnLimit then = OnLimit::fail);

  /// All stages to their ends; statuses from left to right, also inside the Failure's message.
  [[nodiscard]] Result<PipelineOutput> run() const;
  /// The same with the last stage's stdout, without the newlines at its end.
  [[nodiscard]] Result<std::string> read() const;
  /// The same with the last stage's stdout and every stage's stderr.
  [[nodiscard]] Result<PipelineOutput> capture() const;
  /// The timeout, grace, token and limits of the pipeline are for run, read and capture; here the
  /// stages are the caller's to wait for.
  ///
  /// Errors: the one of the stage that could not be started; its subject names the program.
  [[nodiscard]] std::expected<RunningPipeline, Error> start() const;

  [[nodiscard]] const std::vector<Command>& commands() const noexcept { return commands_; }

 private:
  friend struct detail::PipelineRun;
  std::vector<Command> commands_;
  std::chrono::nanoseconds timeout_{0};
  std::chrono::milliseconds grace_{2000};
  std::size_t capture_limit_ = SIZE_MAX;
  bool truncate_at_limit_ = false;
  bool unchecked_ = false;
  CancelToken cancel_{};
};

[[nodiscard]] Pipeline operator|(Command left, Command right);
[[nodiscard]] Pipeline operator|(Pipeline left, Command right);

}  // namespace tine
