// SPDX-License-Identifier: MIT
#pragma once

/// The progress on stderr: one line that is redrawn on a terminal; elsewhere a plain line now and
/// then, so that a log shows life as well.

#include <chrono>
#include <cstddef>

#include "report/progress.h"
#include "tine/fd.h"

namespace tine::cli {

class ProgressLine {
 public:
  using Clock = std::chrono::steady_clock;

  /// `wanted`: --bar, --eta or --progress was given.
  explicit ProgressLine(bool wanted);

  /// Readable twice a second, to call tick() then, so that the line moves also while no job ends.
  /// None unless there is a line on a terminal.
  [[nodiscard]] const Fd& timer() const { return timer_; }
  void tick(const report::Progress& progress);
  /// Shows the state, unless it was shown a moment ago.
  void update(const report::Progress& progress);
  /// Before anything else is written to the terminal.
  void hide();
  /// The last state, left to stand.
  void finish(const report::Progress& progress);

 private:
  void draw(const report::Progress& progress, Clock::time_point now);

  bool wanted_;
  bool terminal_;
  bool visible_ = false;
  Clock::time_point last_;
  Fd timer_;
};

}  // namespace tine::cli
