// SPDX-License-Identifier: MIT
#include "work/worker_count.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "tine/process.h"

extern "C" {
/// Present when the program uses OpenMP.
__attribute__((weak)) void omp_set_num_threads(int count);
}

namespace tine::work {

namespace {

bool in_worker = false;

constexpr const char* kVariable = "TINE_WORKERS";

/// 0: it says nothing. Nothing: what it says is no number.
std::optional<std::size_t> count_of_environment() noexcept {
  const char* const text = std::getenv(kVariable);
  if (text == nullptr) return 0;
  std::size_t count = 0;
  const char* const end = text + std::strlen(text);
  if (text == end) return 0;
  const auto [stopped, error] = std::from_chars(text, end, count);
  constexpr std::size_t kMost = 4096;
  if (stopped != end || error == std::errc::invalid_argument) return std::nullopt;
  return error == std::errc{} ? std::min(count, kMost) : kMost;
}

}  // namespace

std::size_t worker_count(int wanted) {
  if (wanted > 0) return static_cast<std::size_t>(wanted);
  if (in_worker) return 1;
  if (const std::size_t count = count_of_environment().value_or(0); count > 0) return count;
  return std::max(1u, usable_cpus());
}

std::string wrong_worker_count(int wanted) {
  if (wanted > 0 || in_worker || count_of_environment()) return {};
  return std::string(kVariable) + " in the environment is '" + std::getenv(kVariable) +
         "', not a number of workers";
}

void enter_worker(std::size_t workers) noexcept {
  in_worker = true;
  if (omp_set_num_threads == nullptr || std::getenv("OMP_NUM_THREADS") != nullptr) return;
  omp_set_num_threads(static_cast<int>(
      std::max<std::size_t>(1, usable_cpus() / std::max<std::size_t>(1, workers))));
}

}  // namespace tine::work
