// SPDX-License-Identifier: MIT
#include "cli/batch_options.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace tine::cli {

namespace {

std::chrono::nanoseconds to_ns(std::chrono::duration<double> duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration);
}

/// TERM three times within 350 ms, then KILL: a run is over half a second after Ctrl-C.
StopSequence usual_stop_sequence() {
  using namespace std::chrono_literals;
  return {{Signal::terminate, 200ms}, {Signal::terminate, 100ms}, {Signal::terminate, 50ms}};
}

/// A percentage is one of all jobs, while that of a Batch is of those that have ended: a count.
Halt halt_rule(Halt halt, std::optional<std::uint64_t> total) {
  if (halt.percent <= 0) return halt;
  constexpr double kRoundingError = 1e-9;
  const double share = static_cast<double>(total.value_or(1)) * halt.percent / 100;
  halt.count = static_cast<std::uint64_t>(std::max(1.0, std::ceil(share - kRoundingError)));
  halt.percent = 0;
  return halt;
}

/// Further attempts after the first.
int further_attempts(std::uint64_t attempts) {
  constexpr std::uint64_t kEndless = 1'000'000'000;
  return static_cast<int>((attempts == 0 ? kEndless : std::min(attempts, kEndless)) - 1);
}

BatchOutput batch_output(Grouping grouping) {
  switch (grouping) {
    case Grouping::job: break;
    case Grouping::line: return BatchOutput::lines;
    case Grouping::none: return BatchOutput::inherit;
  }
  return BatchOutput::files;
}

}  // namespace

BatchOptions batch_options(const Options& options, std::size_t slots,
                           std::optional<std::uint64_t> total) {
  return {
      .timeout = to_ns(options.timeout.after),
      .stop = options.term_sequence.empty() ? usual_stop_sequence() : options.term_sequence,
      .jobs = slots,
      .retries = further_attempts(options.retries),
      .ordered = options.keep_order,
      .halt = halt_rule(options.halt, total),
      .delay = to_ns(options.delay),
      .timeout_percent = options.timeout.percent,
      .output = batch_output(options.grouping),
      .tmpdir = options.temporary_directory,
  };
}

}  // namespace tine::cli
