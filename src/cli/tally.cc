// SPDX-License-Identifier: MIT
#include "cli/tally.h"

#include <algorithm>
#include <cmath>

namespace tine::cli {

void Tally::add(const JobExit& exit) {
  failed_ += exit.failed() ? 1 : 0;
  const bool counts = exit.failed() || halt_.what == Halt::What::done;
  if (counts && !first_exit_) first_exit_ = exit.shell_code();
}

/// A share of all jobs is rounded up.
int Tally::count_or_share(double total) const {
  constexpr std::uint64_t kMostCounted = 101;
  if (halt_.percent <= 0) return static_cast<int>(std::min(failed_, kMostCounted));
  return static_cast<int>(std::ceil(static_cast<double>(failed_) * 100 / total));
}

int Tally::exit_code(bool halted, std::optional<std::uint64_t> total) const {
  const auto jobs = static_cast<double>(std::max<std::uint64_t>(1, total.value_or(1)));
  if (!halted) return count_or_share(jobs);
  if (halt_.what == Halt::What::success) return 0;
  // One job that says stop speaks for the whole run, also where a share comes to one.
  const bool one = halt_.percent > 0 ? jobs * (halt_.percent / 100) == 1 : halt_.count <= 1;
  return one && first_exit_ ? *first_exit_ : count_or_share(jobs);
}

}  // namespace tine::cli
