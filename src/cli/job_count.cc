// SPDX-License-Identifier: MIT
#include "cli/job_count.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "cli/option_values.h"
#include "tine/process.h"

namespace tine::cli {

namespace {

/// A job in flight holds a pidfd and two files; some are left for everything else.
std::size_t most_by_descriptors() {
  constexpr rlim_t kPerJob = 4;
  constexpr rlim_t kReserve = 64;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur > kReserve + kPerJob ? (files.rlim_cur - kReserve) / kPerJob : 1;
}

}  // namespace

std::expected<std::size_t, std::string> job_slots(const JobCount& wanted) {
  const double cpus = usable_cpus();
  double slots = 1;
  switch (wanted.kind) {
    case JobCount::Kind::number: slots = wanted.value; break;
    case JobCount::Kind::add: slots = cpus + wanted.value; break;
    case JobCount::Kind::percent: slots = std::floor(cpus * wanted.value / 100); break;
    case JobCount::Kind::unlimited: return most_by_descriptors();
    case JobCount::Kind::file: {
      std::ifstream file(wanted.path);
      std::string text;
      if (!std::getline(file, text)) {
        return std::unexpected("cannot read a number of jobs from '" + wanted.path + "'");
      }
      auto inner = parse_jobs(text);
      if (!inner) return std::unexpected(inner.error());
      if (inner->kind == JobCount::Kind::file) {
        return std::unexpected("'" + wanted.path + "' holds no number of jobs: '" + text + "'");
      }
      return job_slots(*inner);
    }
  }
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::max(1.0, slots)), 1,
                                 most_by_descriptors());
}

}  // namespace tine::cli
