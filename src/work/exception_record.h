// SPDX-License-Identifier: MIT
#pragma once

/// What travels of an exception that left the user's function.

#include <exception>
#include <string>
#include <vector>

#include "tine/error.h"

namespace tine::work {

/// Its type and text; of each nested one as well, outermost first.
struct ExceptionRecord {
  std::string type;
  std::string message;
  std::vector<Thrown> causes;
};

/// Both throw bad_alloc.
[[nodiscard]] ExceptionRecord record_of(const std::exception& exception);
/// Requires: in a catch clause, of something that is no std::exception.
[[nodiscard]] ExceptionRecord record_in_flight();

/// What a Failure says of it.
void describe(ExceptionRecord record, Failure& failure);

}  // namespace tine::work
