// SPDX-License-Identifier: MIT
#pragma once

#include "support/clean_process_test.h"
#include "tine/command.h"

namespace tine::test {

/// Does nothing but exit with `code`.
inline Command exits(int code) { return {child_program("exit_with"), code}; }

}  // namespace tine::test
