// SPDX-License-Identifier: MIT
#pragma once

/// Options that make no sense: times and numbers below 0, shares above 1.

#include <optional>
#include <string>

#include "tine/call.h"
#include "tine/error.h"
#include "tine/lazy_map.h"
#include "tine/map.h"
#include "tine/pool.h"

namespace tine::work {

/// The first of them, as an error about `subject` whose hint names it. Nothing: all make sense.
[[nodiscard]] std::optional<Error> senseless(const CallOptions& options,
                                             const std::string& subject);
[[nodiscard]] std::optional<Error> senseless(const MapOptions& options, const std::string& subject);
[[nodiscard]] std::optional<Error> senseless(const LazyMapOptions& options,
                                             const std::string& subject);
[[nodiscard]] std::optional<Error> senseless(const PoolOptions& options,
                                             const std::string& subject);
/// Cheap where nothing is wrong.
[[nodiscard]] std::optional<Error> senseless(const detail::TaskRequest& request);

}  // namespace tine::work
