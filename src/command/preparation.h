// SPDX-License-Identifier: MIT
#pragma once

/// From a CommandSpec to a SpawnPlan: everything that allocates, opens or looks up happens here, in
/// the parent, before the clone.
///
/// Owner: holds the memory that the plan points into and the files opened for the child; both go
/// with it, so it lives until the process has started.

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "child/child_state.h"
#include "child/spawn_plan.h"
#include "tine/detail/command_spec.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::command {

using detail::CommandSpec;
using detail::RedirectSpec;

/// What a descriptor becomes where the command itself says nothing about it.
struct DefaultRedirect {
  int number;
  RedirectSpec spec;
};
using Defaults = std::vector<DefaultRedirect>;

/// A descriptor that this library opened: it exists, and nobody else has changed its mode.
inline RedirectSpec own_fd(int number) {
  return {.kind = RedirectSpec::Kind::own_fd, .number = number};
}

class Preparation {
 public:
  Preparation() = default;
  Preparation(const Preparation&) = delete;
  Preparation& operator=(const Preparation&) = delete;

  /// Errors: invalid_argument; those of open(2), pipe(2) and of a pseudo-terminal.
  std::expected<void, Error> prepare(const CommandSpec& spec, const Defaults& defaults);

  /// Copies the environment: for a child that reads it while this process may change its own.
  void own_environment();

  child::SpawnPlan plan{};
  /// Our ends of pipes and pseudo-terminals, by the child's number.
  std::vector<std::pair<int, Fd>> parent_ends{};
  /// Whether the child's stdin is a terminal that it shares with us.
  bool shares_terminal = false;
  Fd foreground_terminal{};

  [[nodiscard]] const std::vector<std::string>& candidates() const noexcept { return paths_; }
  [[nodiscard]] const char* const* environment() const noexcept { return plan.envp; }

 private:
  using Status = std::expected<void, Error>;

  Status prepare_words(const CommandSpec& spec);
  void prepare_environment(const CommandSpec& spec);
  void prepare_candidates(const CommandSpec& spec);
  Status prepare_descriptors(const CommandSpec& spec, const Defaults& defaults);
  Status prepare_surroundings(const CommandSpec& spec);

  std::expected<int, Error> source_for(int target, const RedirectSpec& redirect);
  std::expected<int, Error> open_file(const RedirectSpec& redirect);
  std::expected<int, Error> open_pipe(int target);
  std::expected<int, Error> hold_bytes(const std::string& text);
  std::expected<int, Error> open_terminal(int target);
  int keep(Fd fd);

  const CommandSpec* spec_ = nullptr;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
  std::vector<std::string> variables_;
  std::string environment_copy_;
  std::string oom_score_;
  std::vector<std::string> paths_;
  std::vector<const char*> path_pointers_;
  std::vector<child::FdMapping> mappings_;
  std::vector<int> kept_;
  std::vector<Fd> opened_;
  std::vector<unsigned long> cpu_mask_;
  std::vector<child::LimitChange> limits_;
  int terminal_ = -1;
};

/// What the environment of this command says of `name`; nothing when it is not set.
const char* variable_of(const CommandSpec& spec, const char* name);

/// The paths that a program may have, in order: itself when it has a '/', else one per directory of
/// `path_variable`. Relative ones are against this process's cwd, made absolute if `leaving_cwd`.
std::vector<std::string> candidate_paths(std::string_view program, const char* path_variable,
                                         bool leaving_cwd);

/// The Error for a report of the child, with what a look at the file tells.
Error explain(const child::SpawnReport& report, const CommandSpec& spec,
              const Preparation& preparation);

}  // namespace tine::command
