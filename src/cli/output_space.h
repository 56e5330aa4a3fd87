// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "cli/job_notes.h"
#include "tine/batch.h"

namespace tine::cli {

/// The directory whose disk is so full that output of this job may be missing, if there is one:
/// `waiting`, where output waits, or that of the job's own files. Few programs say so when theirs
/// did not fit: with little room left, some bytes are written to see.
std::optional<std::string> full_directory(const Outcome& outcome, const JobNotes& job,
                                          const std::string& waiting);

/// It could not be started because there is no place for its output; nor can the next ones.
bool is_refused_space(const Outcome& outcome);

}  // namespace tine::cli
