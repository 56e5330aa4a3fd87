// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace tine::literals;
using test::child_program;
using RunTest = test::CleanProcessTest;

TEST_F(RunTest, TwoWordCommandIsNotAnIteratorPair) {
  EXPECT_EQ(read({"echo", "two"}).value(), "two");
  EXPECT_TRUE(run({"test", "x"}).has_value());
  EXPECT_EQ(capture({"echo", "two"}).value().out, "two\n");
  auto child = start({"echo", "two"});
  ASSERT_TRUE(child);
  EXPECT_TRUE(child->wait());
}

TEST_F(RunTest, NonZeroExitIsAFailureAndUncheckedMakesItAValue) {
  const auto failed = Command{child_program("exit_with"), 3}.run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::exited);
  EXPECT_EQ(failed.error().status->code(), 3);
  EXPECT_EQ(Command({child_program("exit_with"), 3}).unchecked().run()->status.code(), 3);
}

TEST_F(RunTest, TimeoutKeepsWhatCameBefore) {
  const auto result =
      Command{"sh", "-c", "echo early; echo e >&2; exec sleep 100"}.timeout(300ms).capture();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::timed_out);
  EXPECT_EQ(result.error().output, "early\n");
  EXPECT_EQ(result.error().stderr_tail, "e\n");
}

TEST_F(RunTest, BothStreamsFloodedDoNotDeadlock) {
  const auto result = Command{child_program("flood"), 4'000'000}.capture();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->out.size(), 4'000'000u);
  EXPECT_EQ(result->err.size(), 4'000'000u);
}

TEST_F(RunTest, GrandchildHoldingThePipeIsNotWaitedFor) {
  const auto result = Command{child_program("spawn_grandchild")}.leave_descendants().capture();
  ASSERT_TRUE(result);
  const pid_t grandchild = std::stoi(result->out);
  EXPECT_TRUE(test::is_running(grandchild));
  ::kill(grandchild, SIGKILL);
}

}  // namespace
}  // namespace tine
