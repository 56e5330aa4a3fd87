// SPDX-License-Identifier: MIT
#pragma once

/// Files that take the output of a job in our stead: --files and --results.

#include <expected>
#include <string>

#include "cli/job_stream.h"
#include "tine/command.h"

namespace tine::cli {

/// --files: makes a file in `directory` for the stdout of `command` and gives its path.
/// Errors: a sentence for the user.
std::expected<std::string, std::string> redirect_to_new_file(Command& command,
                                                             const std::string& directory);

/// --results NAME: sends stdout and stderr of `command` to the files that `line.results` names,
/// notes its number beside them, and gives the path for stdout.
/// Errors: a sentence for the user.
std::expected<std::string, std::string> redirect_to_results(Command& command, const JobLine& line);

}  // namespace tine::cli
