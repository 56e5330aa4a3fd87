// SPDX-License-Identifier: MIT
/// The main of all test programs: they can be executed as workers, too.

#include <gtest/gtest.h>

#include "tine/start_method.h"

int main(int argc, char** argv) {
  if (auto code = tine::worker_main(argc, argv)) return *code;
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
