// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace tine::cli {

/// Sets in our own environment what every job is to find in its: a command without changes shares
/// that as it is. Gives the mark among it, a NAME=value that no other run has.
std::string set_job_environment();

}  // namespace tine::cli
