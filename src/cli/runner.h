// SPDX-License-Identifier: MIT
#pragma once

/// The runner: takes jobs from the input, runs them in a tine::Batch and passes on what they say.
///
/// A client of the library's public interface, and nothing else.

#include <string>

#include "cli/options.h"
#include "cli/supervisor.h"

namespace tine::cli {

struct RunSetting {
  CommandLine command_line;
  std::string name;            ///< `tine run` or `parallel`, for messages
  bool drop_in = false;        ///< called as parallel: nothing on stderr that it would not say
  bool stdout_closed = false;  ///< at the start
};

/// Runs all jobs. Gives the exit code, see docs/exit-codes.md.
int run_jobs(const RunSetting& setting, RunnerSetting runner);

}  // namespace tine::cli
