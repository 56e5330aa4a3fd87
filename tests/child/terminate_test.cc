// SPDX-License-Identifier: MIT

/// Ending children with everything below them.

#include <signal.h>
#include <unistd.h>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::child_program;
using test::eventually;
using test::is_running;

struct TerminateTest : test::CleanProcessTest {};

TEST_F(TerminateTest, TermIsEnoughForMost) {
  auto child = test::start_ready(Command({child_program("sleep_until_eof")}).in(Redirect::pipe()));
  EXPECT_EQ(child.terminate(1h)->status.signal(), SIGTERM);
}

TEST_F(TerminateTest, IgnoredTermIsFollowedByKill) {
  auto child = test::start_ready({child_program("ignore_term")});
  EXPECT_EQ(child.terminate(1ms)->status.signal(), SIGKILL);
}

TEST_F(TerminateTest, GraceIsTimeToEndInOrder) {
  auto child = test::start_ready(
      {"sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"});
  EXPECT_EQ(child.terminate(1h)->status.code(), 9);
}

TEST_F(TerminateTest, StoppedChildIsContinuedToHearOfIt) {
  auto child = test::start_ready({child_program("stop_itself")});
  ASSERT_TRUE(eventually([&] { return process_info(child.pid())->state == 'T'; }));
  EXPECT_EQ(child.terminate(1h)->status.signal(), SIGTERM);
}

TEST_F(TerminateTest, ChildThatClosedItsStdioIsStillWaitedFor) {
  EXPECT_EQ(Command({child_program("close_stdio")}).unchecked().capture()->status.code(), 7);
}

TEST_F(TerminateTest, GrandchildrenGoWhateverTheirGroupAndSession) {
  for (const char* how : {"plain", "group", "session"}) {
    std::string said;
    auto child = test::start_ready({child_program("spawn_grandchild"), how, "wait"}, &said);
    EXPECT_TRUE(child.terminate(1h));
    EXPECT_FALSE(is_running(std::stoi(said))) << how;
  }
}

TEST_F(TerminateTest, DeafGrandchildrenAreKilled) {
  for (const char* how : {"plain", "group", "session"}) {
    std::string said;
    auto child = test::start_ready({child_program("spawn_grandchild"), how, "deaf", "wait"}, &said);
    EXPECT_TRUE(child.terminate(1ms));
    EXPECT_TRUE(eventually([&] { return !is_running(std::stoi(said)); })) << how;
  }
}

TEST_F(TerminateTest, OrphanInTheGroupGoesWithTheChild) {
  std::string said;
  auto child =
      test::start_ready({child_program("spawn_grandchild"), "orphan", "deaf", "wait"}, &said);
  EXPECT_TRUE(child.terminate(1ms));
  EXPECT_TRUE(eventually([&] { return !is_running(std::stoi(said)); }));
}

TEST_F(TerminateTest, DeepTreeGoesToItsLastLeaf) {
  const std::string program = child_program("spawn_grandchild");
  // A chain: sh, setsid sh, setsid spawn_grandchild and its child; each waits for the next.
  std::string said;
  auto child = test::start_ready(
      {"sh", "-c", "setsid sh -c 'setsid \"$0\" session wait; :' \"$0\"; :", program}, &said);
  const auto tree = process_tree(child.pid()).value();
  EXPECT_GE(tree.size(), 4u);
  EXPECT_TRUE(child.terminate(1h));
  for (const auto& process : tree) EXPECT_FALSE(is_running(process.pid)) << process.name;
  EXPECT_FALSE(is_running(std::stoi(said)));
}

TEST_F(TerminateTest, LeftoversInTheGroupDieWithTheChild) {
  std::string said;
  auto child = test::start_ready({child_program("spawn_grandchild")}, &said);
  EXPECT_TRUE(child.wait()->status.success());
  EXPECT_TRUE(eventually([&] { return !is_running(std::stoi(said)); }));
}

TEST_F(TerminateTest, LeftoversMayBeLeft) {
  std::string said;
  auto child =
      test::start_ready(Command({child_program("spawn_grandchild")}).leave_descendants(), &said);
  EXPECT_TRUE(child.wait()->status.success());
  const pid_t grandchild = std::stoi(said);
  EXPECT_TRUE(is_running(grandchild));
  ::kill(grandchild, SIGKILL);
}

TEST_F(TerminateTest, StepsAreTakenInTheirOrder) {
  auto child = test::start_ready({"sh", "-c",
                                  "trap 'echo int' INT; trap 'echo hup; exit 4' HUP; echo ready; "
                                  "while :; do sleep 0.01; done"});
  const StopStep steps[] = {{Signal::interrupt, 300ms}, {Signal::hup, 1h}, {Signal::kill, 1h}};
  EXPECT_EQ(child.terminate(steps)->status.code(), 4);
  EXPECT_EQ(test::read_to_end(child.out()), "int\nhup\n");
}

TEST_F(TerminateTest, NoStepsMeansKillAtOnce) {
  auto child = test::start_ready(
      {"sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done"});
  EXPECT_EQ(child.terminate(std::span<const StopStep>{})->status.signal(), SIGKILL);
}

TEST_F(TerminateTest, EndedChildIsOnlyReaped) {
  auto child = Command({child_program("exit_with"), 6}).start().value();
  ASSERT_TRUE(eventually([&] { return !is_running(child.pid()); }));
  EXPECT_EQ(child.terminate()->status.code(), 6);
}

TEST_F(TerminateTest, ForkingFamilyIsCaught) {
  // Three generations that keep making new processes while they are being ended.
  auto child =
      test::start_ready({"sh", "-c",
                         "spin() { while :; do (sleep 0.01; :) & (sleep 0.01; :); done; }; "
                         "trap '' TERM; spin & spin & echo ready; spin"});
  const pid_t group = child.pid();
  EXPECT_TRUE(child.terminate(1ms));
  EXPECT_TRUE(eventually([&] { return ::kill(-group, 0) != 0; }));
}

}  // namespace
}  // namespace tine
