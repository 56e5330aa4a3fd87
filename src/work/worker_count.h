// SPDX-License-Identifier: MIT
#pragma once

/// How many workers there are to be, and what a worker tells the libraries in it.

#include <cstddef>
#include <string>

namespace tine::work {

/// `wanted`, or for 0: one within a worker; else what the environment variable TINE_WORKERS says;
/// else one for each usable CPU.
[[nodiscard]] std::size_t worker_count(int wanted);

/// Why that cannot be said, if so: TINE_WORKERS would decide, and is no number.
[[nodiscard]] std::string wrong_worker_count(int wanted);

/// In a forked worker, one of `workers`: maps in it have one worker of their own, and OpenMP takes
/// no more threads than its share of the CPUs, unless OMP_NUM_THREADS is set.
void enter_worker(std::size_t workers) noexcept;

}  // namespace tine::work
