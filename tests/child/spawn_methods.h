// SPDX-License-Identifier: MIT
#pragma once

/// For tests that must hold whichever way a process is made: each runs once per method.

#include <string>

#include "child/spawn.h"
#include "support/clean_process_test.h"

namespace tine::test {

class SpawnMethodsTest : public CleanProcessTest,
                         public ::testing::WithParamInterface<child::SpawnMethod> {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    if (GetParam() == child::SpawnMethod::clone_vfork) {
      CleanProcessTest::SetUp();
      GTEST_SKIP() << "ThreadSanitizer takes libc's clone for a fork";
    }
#endif
    child::set_spawn_method(GetParam());  // before the guardian starts: it too is made this way
    CleanProcessTest::SetUp();
  }
  void TearDown() override {
    CleanProcessTest::TearDown();
    child::set_spawn_method(child::SpawnMethod::automatic);
  }
};

inline std::string name_of_method(const ::testing::TestParamInfo<child::SpawnMethod>& info) {
  switch (info.param) {
    case child::SpawnMethod::clone3_vfork: return "clone3";
    case child::SpawnMethod::clone_vfork: return "clone";
    default: return "fork";
  }
}

inline auto every_spawn_method() {
  return ::testing::Values(child::SpawnMethod::clone3_vfork, child::SpawnMethod::clone_vfork,
                           child::SpawnMethod::fork);
}

}  // namespace tine::test
