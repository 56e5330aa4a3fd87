// SPDX-License-Identifier: MIT
#pragma once

/// Starting a command on behalf of run, capture, Pipeline and Batch.

#include <expected>
#include <optional>

#include "child/spawn.h"
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
  /// A pipeline's: -1 stays in the caller's, others join that group. Nothing: by itself.
  std::optional<pid_t> group{};
  /// Others will join its group: it has to be there when the start returns.
  bool leads_group = false;
  /// The caller does nothing but wait until the end, so what this thread owns stays as it is.
  bool only_waits = false;
};

[[nodiscard]] bool has_pseudo_terminal(const CommandSpec& spec);

/// Returns when the program runs.
std::expected<Child, Error> start(const CommandSpec& spec, const StartOptions& options);

/// A start that its maker does not wait for: whoever runs a command to its end learns soon enough
/// that it could not be executed, and overlaps the exec with work of its own; docs/hot-paths.md.
///
/// Owner: lives until the child has ended; its destructor waits until the child has left our
/// memory.
class BackgroundStart {
 public:
  /// Requires: `spec` stays as it is until failure() has answered.
  std::expected<Child, Error> start(const CommandSpec& spec, const StartOptions& options);
  /// Why the program could not be executed; nothing when it was. Blocks: until that is known.
  [[nodiscard]] std::optional<Error> failure(const CommandSpec& spec);

 private:
  std::optional<Preparation> preparation_{};
  child::LaunchPad pad_{};
};

}  // namespace tine::command
