// SPDX-License-Identifier: MIT
#pragma once

/// What the tests of Batch have in common.

#include <string>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine::batch_testing {

using namespace std::chrono_literals;
using test::child_program;
using test::eventually;
using test::in_a_fork;
using test::is_running;
using test::TemporaryDirectory;

inline Command exits(int code) { return {child_program("exit_with"), code}; }
inline Command script(const std::string& text, const std::string& argument = "") {
  return {"sh", "-c", text, argument};
}

}  // namespace tine::batch_testing
