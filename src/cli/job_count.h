// SPDX-License-Identifier: MIT
#pragma once

/// How many jobs at a time: -j worked out against the CPUs that this process may use.

#include <cstddef>
#include <expected>
#include <string>

#include "cli/options.h"

namespace tine::cli {

/// At least 1. Without a limit (-j0): as many as descriptors allow.
/// Errors: the file named by -j cannot be read or holds no job count.
std::expected<std::size_t, std::string> job_slots(const JobCount& wanted);

}  // namespace tine::cli
