// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "tine/batch.h"

namespace tine::cli {

/// Whether output of this job may be missing because the disk below `directory`, where output
/// waits, is full. Few programs say so when theirs did not fit: with little room left, some bytes
/// are written to see.
bool output_may_be_lost(const Outcome& outcome, const std::string& directory);

/// It could not be started because there is no place for its output; nor can the next ones.
bool is_refused_space(const Outcome& outcome);

}  // namespace tine::cli
