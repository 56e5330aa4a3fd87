// SPDX-License-Identifier: MIT

/// Where /proc is not mounted, or shows another pid namespace than ours.

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::child_program;
using test::in_a_fork;

struct BlindTest : test::CleanProcessTest {
  void SetUp() override {
    test::CleanProcessTest::SetUp();
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, for namespaces";
  }
};

void without_proc(const std::function<void()>& body) {
  in_a_fork([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::umount2("/proc", MNT_DETACH), 0);
    body();
  });
}

/// As process 1 of a new namespace, with the /proc of the old one.
void with_a_foreign_proc(const std::function<void()>& body) {
  in_a_fork([&] {
    ASSERT_EQ(::unshare(CLONE_NEWPID), 0);
    in_a_fork(body);
  });
}

TEST_F(BlindTest, StopSequenceReachesTheWholeGroup) {
  const auto stops_all = [] {
    auto child = test::start_ready(
        Command({"sh", "-c", "sleep 600 & echo ready; wait"}).leave_descendants());
    EXPECT_EQ(child.terminate()->status.signal(), SIGTERM);
    EXPECT_EQ(test::read_to_end(child.out()), "");  // the sleeper held it open
  };
  without_proc(stops_all);
  with_a_foreign_proc(stops_all);
}

TEST_F(BlindTest, GuardianEnforcesDeadlinesOnThoseThatStillRun) {
  const auto waits_elsewhere = [] {
    auto quick = Command({child_program("exit_with"), 0}).timeout(50ms).start().value();
    auto slow = test::start_ready(
        Command({child_program("sleep_until_eof")}).in(Redirect::pipe()).timeout(60ms));
    EXPECT_EQ(test::read_to_end(slow.out()), "");  // until the guardian has ended it
    EXPECT_TRUE(quick.wait()->status.success());
    EXPECT_FALSE(quick.timed_out());
    EXPECT_FALSE(slow.wait()->status.success());
    EXPECT_TRUE(slow.timed_out());
  };
  without_proc(waits_elsewhere);
  with_a_foreign_proc(waits_elsewhere);
}

TEST_F(BlindTest, ForeignProcIsNotTakenForOurs) {
  with_a_foreign_proc([] { EXPECT_FALSE(process_tree(::getpid())); });
}

}  // namespace
}  // namespace tine
