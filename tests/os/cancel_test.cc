// SPDX-License-Identifier: MIT
#include "tine/cancel.h"

#include <poll.h>

#include "support/clean_process_test.h"

namespace tine {
namespace {

struct CancelTest : test::CleanProcessTest {};

bool readable(int fd) {
  pollfd watched{fd, POLLIN, 0};
  return ::poll(&watched, 1, 0) == 1;
}

TEST_F(CancelTest, TokenFiresOnceForAllCopies) {
  CancelSource source;
  const CancelToken token = source.token();
  const CancelToken copy = token;  // NOLINT: the copy is the point
  EXPECT_FALSE(token.cancelled());
  EXPECT_FALSE(readable(token.fd()));
  source.cancel();
  source.cancel();
  EXPECT_TRUE(copy.cancelled());
  EXPECT_TRUE(readable(copy.fd()));
}

TEST_F(CancelTest, CancellingInAForkedCopyIsItsOwnAffair) {
  CancelSource source;
  const CancelToken token = source.token();
  test::in_a_fork([&] {
    source.cancel();
    EXPECT_TRUE(token.cancelled());
  });
  EXPECT_FALSE(token.cancelled());
  EXPECT_FALSE(readable(token.fd()));
}

TEST_F(CancelTest, DefaultTokenNeverFires) {
  const CancelToken token;
  EXPECT_FALSE(token.cancelled());
  EXPECT_EQ(token.fd(), -1);
}

TEST_F(CancelTest, TokenOutlivesItsSource) {
  CancelToken token;
  {
    CancelSource source;
    token = source.token();
    source.cancel();
  }
  EXPECT_TRUE(token.cancelled());
  EXPECT_TRUE(readable(token.fd()));
}

}  // namespace
}  // namespace tine
