// SPDX-License-Identifier: MIT
#include "os/temporary_directory.h"

#include <stdlib.h>

#include "support/clean_process_test.h"

namespace tine {
namespace {

struct TemporaryDirectoryTest : test::CleanProcessTest {};

TEST_F(TemporaryDirectoryTest, IsThatOfTheEnvironmentUnlessEmpty) {
  ::unsetenv("TMPDIR");
  EXPECT_EQ(os::temporary_directory(), "/tmp");
  ::setenv("TMPDIR", "", 1);
  EXPECT_EQ(os::temporary_directory(), "/tmp");
  ::setenv("TMPDIR", "/var/tmp", 1);
  EXPECT_EQ(os::temporary_directory(), "/var/tmp");
  ::unsetenv("TMPDIR");
}

}  // namespace
}  // namespace tine
