// SPDX-License-Identifier: MIT
#pragma once

/// Failures of commands, made in one place.

#include <string>
#include <string_view>

#include "tine/detail/command_spec.h"
#include "tine/error.h"

namespace tine::command {

Failure not_started(const detail::CommandSpec& spec, Error error);

/// `output` and `errors` as far as they were captured.
Failure failed_run(const detail::CommandSpec& spec, Cause cause, const Finished& finished,
                   std::string output = {}, std::string_view errors = {});

/// Exited or signaled: what a status other than success means.
Cause cause_of(ExitStatus status) noexcept;

}  // namespace tine::command
