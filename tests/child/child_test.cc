// SPDX-License-Identifier: MIT
#include "tine/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::child_program;
using test::eventually;
using test::in_a_fork;
using test::is_running;

struct ChildTest : test::CleanProcessTest {};

Child sleeper() {
  return test::start_ready(Command({child_program("sleep_until_eof")}).in(Redirect::pipe()));
}

TEST_F(ChildTest, WaitGivesTheStatusAndGivesItAgain) {
  auto child = Command({child_program("exit_with"), 7}).start().value();
  EXPECT_GT(child.pid(), 0);
  EXPECT_FALSE(child.finished());
  EXPECT_EQ(child.wait()->status.code(), 7);
  EXPECT_EQ(child.wait()->status.code(), 7);
  ASSERT_TRUE(child.finished());
  EXPECT_EQ(child.finished()->status.code(), 7);
  EXPECT_EQ(child.fd(), -1);
  EXPECT_EQ(child.terminate()->status.code(), 7);
}

TEST_F(ChildTest, StatusOfASignalHasItsNumber) {
  auto child = Command({child_program("die_by"), SIGUSR1}).start().value();
  const auto status = child.wait()->status;
  EXPECT_EQ(status.signal(), SIGUSR1);
  EXPECT_FALSE(status.core_dumped());
}

TEST_F(ChildTest, WaitForGivesNothingWhileItRuns) {
  auto child = sleeper();
  EXPECT_EQ(child.wait_for(0ms).value(), std::nullopt);
  EXPECT_EQ(child.wait_for(1ms).value(), std::nullopt);
  child.in().reset();
  while (!child.wait_for(1s).value()) {
  }
  EXPECT_TRUE(child.finished()->status.success());
}

TEST_F(ChildTest, SendReachesTheChildAlone) {
  std::string said;
  auto child = test::start_ready({child_program("spawn_grandchild"), "wait"}, &said);
  const pid_t grandchild = std::stoi(said);
  ASSERT_TRUE(child.send(Signal::user1));
  ASSERT_TRUE(eventually([&] { return !is_running(child.pid()); }));
  EXPECT_TRUE(is_running(grandchild));
  EXPECT_EQ(child.wait()->status.signal(), SIGUSR1);
  EXPECT_TRUE(eventually([&] { return !is_running(grandchild); }));  // its group went with it
}

TEST_F(ChildTest, SendTreeReachesGrandchildrenInOtherSessions) {
  std::string said;
  auto child = test::start_ready({child_program("spawn_grandchild"), "session", "wait"}, &said);
  const pid_t grandchild = std::stoi(said);
  ASSERT_TRUE(child.send_tree(Signal::stop));
  EXPECT_TRUE(eventually([&] { return process_info(grandchild)->state == 'T'; }));
  ASSERT_TRUE(child.send_tree(Signal::resume));
  EXPECT_TRUE(eventually([&] { return process_info(grandchild)->state == 'S'; }));
  ASSERT_TRUE(child.send_tree(Signal::kill));
  EXPECT_TRUE(eventually([&] { return !is_running(grandchild); }));
  EXPECT_EQ(child.wait()->status.signal(), SIGKILL);
}

TEST_F(ChildTest, SendToAReapedChildIsAnError) {
  auto child = Command{"true"}.start().value();
  ASSERT_TRUE(child.wait());
  const auto sent = child.send(Signal::terminate);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().kind, ErrorKind::no_such_process);
  EXPECT_EQ(sent.error().to_string(), "cannot send a signal to 'process " +
                                          std::to_string(child.pid()) + "': No such process");
}

TEST_F(ChildTest, HandleWithoutAChildAnswersWithErrors) {
  Child none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.pid(), 0);
  EXPECT_EQ(none.fd(), -1);
  EXPECT_FALSE(none.finished());
  EXPECT_FALSE(none.out());
  EXPECT_EQ(none.wait().error().kind, ErrorKind::no_such_process);
  EXPECT_EQ(none.send(Signal::kill).error().kind, ErrorKind::no_such_process);
  EXPECT_EQ(none.terminate().error().kind, ErrorKind::no_such_process);
  EXPECT_EQ(none.usage().error().kind, ErrorKind::no_such_process);
}

TEST_F(ChildTest, PidfdBecomesReadableAtTheEnd) {
  auto child = sleeper();
  pollfd watched{child.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&watched, 1, 0), 0);
  child.in().reset();
  EXPECT_EQ(::poll(&watched, 1, 10'000), 1);
  EXPECT_TRUE(child.wait());
}

TEST_F(ChildTest, DestructorEndsAndReaps) {
  pid_t pid = 0;
  {
    auto child = sleeper();
    pid = child.pid();
    EXPECT_TRUE(is_running(pid));
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(ChildTest, AssignmentEndsTheOldChild) {
  auto child = sleeper();
  const pid_t old = child.pid();
  child = sleeper();
  EXPECT_EQ(::kill(old, 0), -1);
  EXPECT_TRUE(is_running(child.pid()));
  Child moved = std::move(child);
  EXPECT_FALSE(child);  // NOLINT(bugprone-use-after-move): empty by contract
  EXPECT_TRUE(is_running(moved.pid()));
}

TEST_F(ChildTest, UsageGrowsWhileItRunsAndIsFinalAfterwards) {
  auto child = Command({"sh", "-c", "while :; do :; done"}).start().value();
  EXPECT_TRUE(eventually([&] { return child.usage()->user + child.usage()->sys > 20ms; }));
  EXPECT_GT(child.usage()->max_rss.value_or(0), 0u);
  const auto done = child.terminate(0ms).value();
  EXPECT_GE(done.usage.user + done.usage.sys, 20ms);
  EXPECT_EQ(child.usage()->user, done.usage.user);
  EXPECT_GT(done.usage.wall, 20ms);
  EXPECT_GT(done.usage.minor_faults, 0u);
}

TEST_F(ChildTest, PeakMemoryIsTheChildsAndNotItsLaunchers) {
  const auto own =
      Command({"sh", "-c", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}"});
  const auto large = own.capture().value();
  EXPECT_EQ(large.out, "100000000\n");
  EXPECT_GT(large.usage.max_rss.value_or(0), 100'000'000u);
  in_a_fork([] {
    const std::string ballast(300 << 20, 'x');  // the mark that Linux carries through exec
    EXPECT_EQ(Command{"true"}.run()->usage.max_rss, std::nullopt) << ballast.size();
  });
}

TEST_F(ChildTest, FileSizeLimitIsAnErrorAndNoSignalForTheHost) {
  for (const rlim_t bytes : {rlim_t{65536}, rlim_t{4096}}) {
    in_a_fork([&] {
      const rlimit limit{bytes, bytes};
      ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
      const auto done = run({child_program("exit_with"), 0});
      if (bytes == 65536) {
        EXPECT_TRUE(done) << done.error().to_string();
        const auto held = Command({"cat"}).input(std::string(100'000, 'x')).capture();
        EXPECT_EQ(held.error().error->kind, ErrorKind::no_space);
      } else {
        EXPECT_EQ(done.error().error->stage, Stage::guardian);
        EXPECT_EQ(done.error().error->kind, ErrorKind::no_space);
      }
    });
  }
}

TEST_F(ChildTest, CopyOfAHandleInAForkedProcessIsInert) {
  auto child = sleeper();
  in_a_fork([&] {
    EXPECT_EQ(child.wait().error().kind, ErrorKind::not_owner);
    EXPECT_EQ(child.wait_for(1ms).error().kind, ErrorKind::not_owner);
    EXPECT_EQ(child.send(Signal::kill).error().kind, ErrorKind::not_owner);
    EXPECT_EQ(child.send_tree(Signal::kill).error().kind, ErrorKind::not_owner);
    EXPECT_EQ(child.terminate().error().kind, ErrorKind::not_owner);
    EXPECT_EQ(child.usage().error().kind, ErrorKind::not_owner);
    child = Child{};  // destroyed here, in a process that does not own it
  });
  EXPECT_TRUE(is_running(child.pid()));
  child.in().reset();
  EXPECT_TRUE(child.wait()->status.success());
}

TEST_F(ChildTest, CancelledWaitLeavesTheChildAlone) {
  auto child = sleeper();
  CancelSource stop;
  stop.cancel();
  const auto waited = child.wait(stop.token());
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().kind, ErrorKind::cancelled);
  EXPECT_EQ(child.wait_for(1h, stop.token()).error().kind, ErrorKind::cancelled);
  EXPECT_TRUE(is_running(child.pid()));
}

TEST_F(ChildTest, SignalsDoNotDisturbAWait) {
  in_a_fork([] {
    struct sigaction action{};
    action.sa_handler = [](int) {};  // without SA_RESTART
    ::sigaction(SIGUSR1, &action, nullptr);
    auto child = Command({"sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do kill -USR1 $PPID; done"})
                     .start()
                     .value();
    EXPECT_TRUE(child.wait()->status.success());
  });
}

// ---- Deadlines given at the start ----

TEST_F(ChildTest, DeadlineEndsAChildThatIsWaitedFor) {
  auto child = Command({"sleep", 1000}).timeout(20ms).start().value();
  EXPECT_EQ(child.wait()->status.signal(), SIGTERM);
  EXPECT_TRUE(child.timed_out());
}

TEST_F(ChildTest, GuardianEnforcesTheDeadlineOfABusyOwner) {
  auto child = Command({"sleep", 1000}).timeout(20ms).start().value();
  EXPECT_TRUE(eventually([&] { return !is_running(child.pid()); }));  // no library call waits here
  EXPECT_EQ(child.wait()->status.signal(), SIGTERM);
  EXPECT_TRUE(child.timed_out());
}

TEST_F(ChildTest, GuardianKillsWhatIgnoresTermAtTheDeadline) {
  auto child = Command({child_program("ignore_term")})
                   .out(Redirect::null())
                   .timeout(200ms)
                   .grace(50ms)
                   .start()
                   .value();
  EXPECT_TRUE(eventually([&] { return !is_running(child.pid()); }));
  const auto status = child.wait()->status;
  EXPECT_TRUE(status.signal() == SIGKILL || status.signal() == SIGTERM);  // TERM before it was deaf
  EXPECT_TRUE(child.timed_out());
}

TEST_F(ChildTest, GuardianEndsTheWholeTreeAtTheDeadline) {
  std::string said;
  auto child = test::start_ready(
      Command({child_program("spawn_grandchild"), "session", "wait"}).timeout(300ms), &said);
  EXPECT_TRUE(eventually([&] { return !is_running(std::stoi(said)) && !is_running(child.pid()); }));
  EXPECT_TRUE(child.wait());
  EXPECT_TRUE(child.timed_out());
}

TEST_F(ChildTest, GuardianRemembersAtTheKillWhatItSawAtTheTerm) {
  // The leader dies of TERM and is reaped; its grandchild, deaf and in a session of its own, has
  // neither parent nor group in common with anybody then.
  std::string said;
  auto child =
      test::start_ready(Command({child_program("spawn_grandchild"), "session", "deaf", "wait"})
                            .timeout(100ms)
                            .grace(300ms),
                        &said);
  const pid_t grandchild = std::stoi(said);
  ASSERT_TRUE(eventually([&] { return !is_running(child.pid()); }));
  EXPECT_EQ(child.wait()->status.signal(), SIGTERM);
  EXPECT_TRUE(child.timed_out());
  EXPECT_TRUE(eventually([&] { return !is_running(grandchild); }));
}

TEST_F(ChildTest, LimitedWaitIsNotLengthenedByTheGraceOfADeadline) {
  auto child = test::start_ready(
      Command({child_program("ignore_term")}).timeout(20ms).grace(std::chrono::minutes(10)));
  const auto answer = child.wait_for(200ms);  // with the grace it would be ten minutes
  ASSERT_TRUE(answer);
  EXPECT_FALSE(*answer);
  EXPECT_TRUE(child.terminate(0ms));
}

TEST_F(ChildTest, NearerDeadlineWakesAGuardianThatSleepsForAFartherOne) {
  auto far = test::start_ready(
      Command({child_program("ignore_term")}).timeout(std::chrono::hours(1)).grace(0ms));
  auto near = test::start_ready(Command({child_program("ignore_term")}).timeout(100ms).grace(0ms));
  EXPECT_TRUE(eventually([&] { return !is_running(near.pid()); }));
  EXPECT_TRUE(is_running(far.pid()));
  EXPECT_TRUE(near.wait() && near.timed_out());
  EXPECT_TRUE(far.terminate(0ms));
}

TEST_F(ChildTest, DeadlineThatIsNotReachedDoesNothing) {
  auto child = Command({child_program("exit_with"), 3}).timeout(1h).start().value();
  EXPECT_EQ(child.wait()->status.code(), 3);
  EXPECT_FALSE(child.timed_out());
}

TEST_F(ChildTest, SlotOfATimedOutChildIsCleanForTheNext) {
  for (int i = 0; i < 5; ++i) {
    auto first = Command({"sleep", 1000}).timeout(5ms).start().value();
    EXPECT_TRUE(first.wait());
    auto next = Command({child_program("exit_with"), 3}).timeout(1h).start().value();
    EXPECT_EQ(next.wait()->status.code(), 3);
    EXPECT_FALSE(next.timed_out());
  }
}

}  // namespace
}  // namespace tine
