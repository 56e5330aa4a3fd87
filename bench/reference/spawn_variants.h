// SPDX-License-Identifier: MIT
/// The bare ways to start a program and wait for it, as variants for bench::measure. In a header,
/// so that tine's benchmark runs them in its own process, round by round beside its own launcher.
#pragma once

#include <vector>

#include "bare_spawn.h"
#include "rounds.h"

namespace bare {

/// `argv` must outlive the variants. fork stands last and is chosen by name alone: from a big
/// parent it takes tens of milliseconds.
inline std::vector<bench::Variant> spawn_variants(char* const* argv) {
  const Plan plan{.argv = argv};
  return {
      {"vfork", [=] { wait_for_pid(start_vfork(plan), argv[0]); }},
      {"clone3", [=] { wait_for_pidfd(start_clone3(plan), argv[0]); }},
      {"posix_spawn", [=] { wait_for_pid(start_posix_spawn(plan), argv[0]); }},
      {"fork", [=] { wait_for_pid(start_fork(plan), argv[0]); }},
  };
}

}  // namespace bare
