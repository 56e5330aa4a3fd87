// SPDX-License-Identifier: MIT
#pragma once

/// Keepers and workers of pools that are no copies of the host.

#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"
#include "tine/pool.h"
#include "work/child_order.h"
#include "work/pool_keeper.h"
#include "work/pool_memory.h"

namespace tine::work {

/// Starts a keeper by `options.start`. Errors: those of start_elsewhere().
std::expected<Child, Error> start_keeper_elsewhere(const PoolOptions& options,
                                                   const PoolMemory& memory,
                                                   const PoolKeeper::Ends& ends);

/// What a spawned worker is told: by its keeper, for itself.
std::expected<ChildOrder, Error> worker_order(const PoolOptions& options, std::size_t place);

/// In the child. `unknown`: code that is not here. Give the exit code.
int run_keeper_order(std::span<const std::byte> body, std::vector<Fd> fds,
                     const std::optional<Error>& unknown);
int run_worker_order(std::span<const std::byte> body, std::vector<Fd> fds,
                     const std::optional<Error>& unknown);

}  // namespace tine::work
