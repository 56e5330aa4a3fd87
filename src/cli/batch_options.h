// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "cli/options.h"
#include "tine/batch.h"

namespace tine::cli {

/// What the options of the command are for a Batch; its callbacks are left empty.
///
/// `slots`: jobs at a time. `total`: the number of all jobs, if it is known, for --halt with a
/// percentage.
BatchOptions batch_options(const Options& options, std::size_t slots,
                           std::optional<std::uint64_t> total);

}  // namespace tine::cli
