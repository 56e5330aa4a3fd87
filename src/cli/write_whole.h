// SPDX-License-Identifier: MIT
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "tine/error.h"

namespace tine::cli {

/// Writes all of `text` to a file of ours; `path` is for the error.
std::expected<void, Error> write_whole(int fd, std::string_view text, const std::string& path);

}  // namespace tine::cli
