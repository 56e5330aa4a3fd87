// SPDX-License-Identifier: MIT
#include "tine/exit_status.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace tine {
namespace {

TEST(ExitStatusTest, WaitStatus768IsExitCode3) {
  const auto status = ExitStatus::from_wait_status(768);
  EXPECT_EQ(status.code(), 3);
  EXPECT_EQ(status.signal(), std::nullopt);
  EXPECT_FALSE(status.success());
  EXPECT_EQ(status, ExitStatus::exited(3));
}

TEST(ExitStatusTest, SignalIsNeverACode) {
  const auto status = ExitStatus::from_wait_status(SIGSEGV | 0x80);
  EXPECT_EQ(status.signal(), SIGSEGV);
  EXPECT_EQ(status.code(), std::nullopt);
  EXPECT_TRUE(status.core_dumped());
  EXPECT_FALSE(status.success());
  EXPECT_NE(ExitStatus::signaled(3, false), ExitStatus::exited(3));
  EXPECT_NE(ExitStatus::signaled(3, false), ExitStatus::signaled(3, true));
}

TEST(ExitStatusTest, OnlyZeroIsSuccess) {
  EXPECT_TRUE(ExitStatus{}.success());
  EXPECT_EQ(ExitStatus{}.code(), 0);
  for (int code = 1; code < 256; ++code) EXPECT_FALSE(ExitStatus::exited(code).success());
  EXPECT_EQ(ExitStatus::from_wait_status(255 << 8).code(), 255);
}

TEST(ExitStatusTest, TextSaysHow) {
  EXPECT_EQ(ExitStatus::exited(3).to_string(), "exited with 3");
  EXPECT_EQ(ExitStatus::signaled(11, true).to_string(),
            "killed by signal 11 (SIGSEGV, core dumped)");
  EXPECT_EQ(ExitStatus::signaled(9, false).to_string(), "killed by signal 9 (SIGKILL)");
}

TEST(SignalNameTest, NamesEveryKindOfSignal) {
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(SIGRTMIN), "SIGRTMIN");
  EXPECT_EQ(signal_name(SIGRTMIN + 3), "SIGRTMIN+3");
  EXPECT_EQ(signal_name(77), "signal 77");
  EXPECT_EQ(signal_name(0), "signal 0");
  EXPECT_EQ(signal_name(32), "signal 32");  // libc keeps it for itself: between the two ranges
}

}  // namespace
}  // namespace tine
