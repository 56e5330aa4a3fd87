// SPDX-License-Identifier: MIT
#pragma once

/// How many jobs failed, and what a run exits with because of it: see docs/exit-codes.md.

#include <cstdint>
#include <optional>

#include "cli/job_exit.h"
#include "cli/options.h"

namespace tine::cli {

/// An error of our own, and a run that was ended from outside.
inline constexpr int kOwnFailure = 255;

class Tally {
 public:
  explicit Tally(const Halt& halt) : halt_(halt) {}

  /// A job that ended by itself, or for its timeout: not one that the run ended.
  void add(const JobExit& exit);

  /// `halted`: the halt rule has ended the run. `total`: the number of all jobs, if it is known.
  [[nodiscard]] int exit_code(bool halted, std::optional<std::uint64_t> total) const;

 private:
  [[nodiscard]] int count_or_share(double total) const;

  Halt halt_;
  std::uint64_t failed_ = 0;
  std::optional<int> first_exit_;  ///< of the jobs that the halt rule speaks of
};

}  // namespace tine::cli
