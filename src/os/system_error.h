// SPDX-License-Identifier: MIT
#pragma once

/// The one place that turns an errno into an Error.

#include <expected>
#include <string>

#include "tine/error.h"

namespace tine::os {

/// The kind that `errno_value` means for most calls.
ErrorKind kind_of(int errno_value) noexcept;

Error make_error(Stage stage, int errno_value, std::string subject = {});

inline std::unexpected<Error> failed(Stage stage, int errno_value, std::string subject = {}) {
  return std::unexpected(make_error(stage, errno_value, std::move(subject)));
}

/// `1.25 s`, `12 ms`: three figures, the largest unit that fits.
std::string duration_text(std::chrono::nanoseconds duration);

}  // namespace tine::os
