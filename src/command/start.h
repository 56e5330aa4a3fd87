// SPDX-License-Identifier: MIT
#pragma once

/// Starting a command on behalf of run, capture, Pipeline and Batch.

#include <expected>

#include "command/preparation.h"
#include "tine/child.h"
#include "tine/error.h"

namespace tine::command {

/// Who ends the command when its timeout passes.
enum class DeadlineBy : unsigned char {
  caller,    ///< whoever runs it is waiting anyway
  guardian,  ///< nobody may be: the handle was given away
};

struct StartOptions {
  Defaults defaults{};
  DeadlineBy deadline = DeadlineBy::caller;
  /// A pipeline's: 0 starts its group, -1 stays in the caller's, others join. Nothing: by itself.
  std::optional<pid_t> group{};
};

std::expected<Child, Error> start(const CommandSpec& spec, const StartOptions& options);

}  // namespace tine::command
