// SPDX-License-Identifier: MIT

/// run, read and capture: limits, timeouts, what a Failure carries, and that it carries no secret.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::child_program;
using test::eventually;
using test::is_running;

struct CaptureTest : test::CleanProcessTest {};

TEST_F(CaptureTest, ReadTrimsOnlyTheNewlinesAtTheEnd) {
  EXPECT_EQ(Command({"printf", "\\n a\\n\\nb \\n\\n\\n"}).read().value(), "\n a\n\nb ");
  EXPECT_EQ(Command({"printf", "\\n\\n"}).read().value(), "");
  EXPECT_EQ(Command({"true"}).read().value(), "");
  EXPECT_EQ(Command({"printf", "a\\r\\n"}).read().value(), "a\r");
}

TEST_F(CaptureTest, CaptureKeepsEveryByte) {
  const auto said = Command({"printf", "\\000\\377\\n\\n"}).capture().value();
  EXPECT_EQ(said.out, std::string("\0\xff\n\n", 4));
}

TEST_F(CaptureTest, ReadLeavesStderrAlone) {
  const test::TemporaryDirectory dir;
  EXPECT_EQ(Command({"sh", "-c", "echo out; echo err >&2"})
                .err(Redirect::write(dir / "e"))
                .read()
                .value(),
            "out");
  EXPECT_EQ(test::read_text(dir / "e"), "err\n");
}

TEST_F(CaptureTest, LargeOutputsComeWhole) {
  const auto said = Command({child_program("flood"), 10_MiB}).capture().value();
  EXPECT_EQ(said.out.size(), 10_MiB);
  EXPECT_EQ(said.err.size(), 10_MiB);
  EXPECT_EQ(said.out.find_first_not_of('o'), std::string::npos);
  EXPECT_EQ(said.err.find_first_not_of('e'), std::string::npos);
}

TEST_F(CaptureTest, FailureHasStatusOutputAndLastWords) {
  const auto failed = Command({"sh", "-c", "echo out; echo why >&2; exit 4"}).capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::exited);
  EXPECT_EQ(failed.error().status->code(), 4);
  EXPECT_EQ(failed.error().subject, "sh");
  EXPECT_EQ(failed.error().output, "out\n");
  EXPECT_EQ(failed.error().stderr_tail, "why\n");
  EXPECT_GT(failed.error().elapsed, 0ns);
  const std::string text = failed.error().to_string();
  EXPECT_TRUE(text.starts_with("'sh' exited with 4 after ") && text.ends_with(": why")) << text;
}

TEST_F(CaptureTest, DeathByASignalIsAFailureAndUncheckedMakesItAValue) {
  const Command command{child_program("die_by"), SIGUSR2};
  const auto failed = command.capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::signaled);
  EXPECT_EQ(failed.error().status->signal(), SIGUSR2);
  EXPECT_EQ(Command(command).unchecked().capture()->status.signal(), SIGUSR2);
  EXPECT_TRUE(Command(command).unchecked().read());
}

TEST_F(CaptureTest, UncheckedDoesNotHideATimeout) {
  const auto failed = Command({"sleep", 1000}).unchecked().timeout(1ms).run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_FALSE(Command({"/no/such"}).unchecked().run());
}

TEST_F(CaptureTest, OnlyTheTailOfALongStderrIsKept) {
  const auto failed =
      Command({"sh", "-c", "yes error | head -n 5000 >&2; echo last >&2; exit 1"}).capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().stderr_tail.size(), 4096u);
  EXPECT_TRUE(failed.error().stderr_tail.ends_with("error\nlast\n"));
}

// ---- Limits ----

TEST_F(CaptureTest, OutputAboveTheLimitEndsTheCommand) {
  const auto failed = Command({"yes"}).capture_limit(1000).capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::cancelled);
  EXPECT_EQ(failed.error().error->kind, ErrorKind::output_limit);
  EXPECT_EQ(failed.error().output.size(), 1000u);
  EXPECT_NE(
      failed.error().to_string().find("cannot read 'yes': more output than the capture limit: "
                                      "the limit is 1000 bytes"),
      std::string::npos)
      << failed.error().to_string();
}

TEST_F(CaptureTest, LimitHoldsForASmallOutputOfAnEndedCommandToo) {
  EXPECT_FALSE(Command({"printf", "12345"}).capture_limit(4).capture());
  EXPECT_FALSE(Command({"printf", "12345"}).capture_limit(4).read());
  EXPECT_EQ(Command({"printf", "12345"}).capture_limit(5).capture()->out, "12345");
  EXPECT_EQ(Command({"true"}).capture_limit(0).capture()->out, "");
}

TEST_F(CaptureTest, LimitCountsEachStreamByItself) {
  const auto said = Command({child_program("flood"), 1000}).capture_limit(1000).capture();
  ASSERT_TRUE(said);
  EXPECT_EQ(said->out.size() + said->err.size(), 2000u);
}

TEST_F(CaptureTest, TruncationKeepsTheFirstBytesAndLetsTheCommandEnd) {
  const auto said =
      Command({child_program("flood"), 1_MiB}).capture_limit(1000, OnLimit::truncate).capture();
  ASSERT_TRUE(said);
  EXPECT_TRUE(said->truncated);
  EXPECT_EQ(said->out.size(), 1000u);
  EXPECT_EQ(said->err.size(), 1000u);
  EXPECT_TRUE(said->status.success());
  EXPECT_FALSE(Command({"echo"}).capture_limit(1000, OnLimit::truncate).capture()->truncated);
}

// ---- Timeouts ----

TEST_F(CaptureTest, TimeoutEndsTheWholeTree) {
  std::string said;
  const auto failed =
      Command({child_program("spawn_grandchild"), "session", "wait"}).timeout(300ms).capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  if (failed.error().output.empty()) return;  // a machine so busy that it had not said so yet
  EXPECT_TRUE(eventually([&] { return !is_running(std::stoi(failed.error().output)); }));
}

TEST_F(CaptureTest, TimeoutKillsWhatIgnoresTerm) {
  const auto failed = Command({"sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.01; done"})
                          .timeout(300ms)
                          .grace(1ms)
                          .capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
}

TEST_F(CaptureTest, WhatIsSaidDuringTheGraceIsHeard) {
  // More than a pipe holds: whoever says it in answer to TERM must not have to wait for a reader.
  const auto failed = Command({"sh", "-c",
                               "trap 'head -c 300000 /dev/zero; exit 5' TERM; echo ready; while :; "
                               "do sleep 0.01; done"})
                          .timeout(500ms)
                          .grace(1h)
                          .capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_EQ(failed.error().status->code(), 5);
  EXPECT_EQ(failed.error().output.size(), 300006u);
}

TEST_F(CaptureTest, TimeoutCoversAChildThatDoesNotReadItsInput) {
  const auto failed =
      Command({"sleep", 1000}).input(std::string(1_MiB, 'x')).timeout(20ms).capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
}

TEST_F(CaptureTest, TimeoutOfAStoppedChildWorks) {
  const auto failed = Command({child_program("stop_itself")}).timeout(200ms).capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_EQ(failed.error().status->signal(), SIGTERM);
}

TEST_F(CaptureTest, ClosedStdioIsNotTheEndOfTheChild) {
  const auto ended =
      Command({"sh", "-c", "exec <&- >&- 2>&-; sleep 0.05; exit 7"}).unchecked().capture();
  EXPECT_EQ(ended->status.code(), 7);
}

TEST_F(CaptureTest, WhatAGrandchildSaysAfterTheEndIsNotWaitedFor) {
  const auto said = Command({"sh", "-c", "sleep 1000 & echo $!"}).leave_descendants().capture();
  ASSERT_TRUE(said);
  const pid_t late = std::stoi(said->out);
  EXPECT_TRUE(is_running(late));
  ::kill(late, SIGKILL);
}

// ---- Secrets ----

TEST_F(CaptureTest, EnvironmentAndInputNeverStandInMessages) {
  const std::string secret = "hunter2-secret";
  const auto with_secrets = [&](Command command) {
    return command.env("PASSWORD", secret).env(secret, "1").input(secret);
  };
  std::string text;
  const auto collect = [&](const auto& result) {
    ASSERT_FALSE(result);
    text += result.error().to_string() + "\n";
  };
  collect(with_secrets({"false"}).run());
  collect(with_secrets({"false"}).capture());
  collect(with_secrets({"/no/such/program"}).run());
  collect(with_secrets({"no-such-program"}).start());
  collect(with_secrets({"true"}).dir("/no/such/dir").start());
  collect(with_secrets({"sleep", 1000}).timeout(1ms).capture());
  collect(with_secrets({"yes"}).capture_limit(10).capture());
  collect(with_secrets({"/bin/true", std::string(200 << 10, 'x')}).start());
  collect(with_secrets({"true"}).env("A=" + secret, secret).start());
  collect(with_secrets({"true"}).env("A", std::string(1, '\0') + secret).start());
  collect((with_secrets({"false"}) | with_secrets({"false"})).capture());
  EXPECT_EQ(text.find(secret), std::string::npos) << text;
  EXPECT_EQ(with_secrets({"true"}).to_string(), "true");
}

// ---- Throwing twins ----

TEST_F(CaptureTest, ThrowingTwinsThrowWhatTheOthersReturn) {
  EXPECT_EQ(throwing::read({"echo", "x"}), "x");
  try {
    throwing::run({child_program("exit_with"), 3});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const FailureException& e) {
    EXPECT_EQ(e.failure().status->code(), 3);
    EXPECT_TRUE(std::string(e.what()).starts_with("'exit_with' exited with 3")) << e.what();
  }
  EXPECT_THROW(throwing::start({"/no/such/program"}), ErrorException);
  EXPECT_EQ(throwing::read(Command{"echo", "x"} | Command{"tr", "x", "y"}), "y");
  EXPECT_THROW(throwing::run(Command{"true"} | Command{"false"}), FailureException);
  EXPECT_TRUE(throwing::run(Series::all_of({{"true"}})).success);
  EXPECT_THROW(throwing::run(Series::any_of({{"false"}})), FailureException);
  EXPECT_EQ(throwing::launch([] { return 4; }).wait()->status.code(), 4);
  EXPECT_EQ(throwing::launch({.name = "x"}, [](int a) { return a; }, 3).wait()->status.code(), 3);
}

}  // namespace
}  // namespace tine
