// SPDX-License-Identifier: MIT
#pragma once

/// A call for a process that is no copy of this one.

#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "tine/call.h"
#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"
#include "work/call_channel.h"
#include "work/child_errors.h"

namespace tine::work {

/// Starts the child by `options.start`. Errors: those of start_elsewhere().
std::expected<Child, Error> start_call_elsewhere(const CallOptions& options,
                                                 const detail::PortableCall& call,
                                                 const CallChannel& channel,
                                                 const ChildErrors& errors);

/// In the child. `unknown`: code that is not here. Gives the exit code.
int run_call_order(std::span<const std::byte> body, std::vector<Fd> fds,
                   const std::optional<Error>& unknown);

}  // namespace tine::work
