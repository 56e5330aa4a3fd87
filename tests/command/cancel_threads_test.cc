// SPDX-License-Identifier: MIT

/// Cancelling from another thread and from a signal handler.

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <thread>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::child_program;
using test::in_a_fork;

struct CancelThreadsTest : test::CleanProcessTest {};
struct CancelCommandsTest : test::CleanProcessTest {};

/// Cancels as soon as a child of this process runs ignore_term or sleep for certain.
class CancelWhenRunning {
 public:
  CancelWhenRunning()
      : thread_([this] {
          test::eventually([] { return process_tree(::getpid())->size() > 1; });
          source_.cancel();
        }) {}
  [[nodiscard]] CancelToken token() const { return source_.token(); }

 private:
  CancelSource source_;
  std::jthread thread_;
};

TEST_F(CancelThreadsTest, RunIsEnded) {
  const CancelWhenRunning stop;
  const auto result = Command({"sleep", 1000}).cancel(stop.token()).run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::cancelled);
  EXPECT_EQ(result.error().status->signal(), SIGTERM);
}

TEST_F(CancelThreadsTest, CaptureIsEndedAndKeepsItsOutput) {
  CancelSource stop;
  const test::TemporaryDirectory dir;
  std::jthread other([&] {
    test::eventually([&] { return ::access((dir / "said").c_str(), F_OK) == 0; });
    stop.cancel();
  });
  const auto result =
      Command({"sh", "-c", "echo early; : >" + (dir / "said") + "; exec sleep 1000"})
          .cancel(stop.token())
          .capture();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::cancelled);
  EXPECT_EQ(result.error().output, "early\n");
}

TEST_F(CancelThreadsTest, DeafTreeIsKilledAfterTheGrace) {
  CancelSource stop;
  const test::TemporaryDirectory dir;
  std::jthread other([&] {
    test::eventually([&] { return !test::read_text(dir / "said").empty(); });
    stop.cancel();
  });
  const auto result = Command({child_program("ignore_term")})
                          .out(Redirect::write(dir / "said"))
                          .grace(1ms)
                          .cancel(stop.token())
                          .run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::cancelled);
  EXPECT_EQ(result.error().status->signal(), SIGKILL);
}

TEST_F(CancelThreadsTest, WaitIsLeftAndTheChildRunsOn) {
  auto child = Command({"sleep", 1000}).start().value();
  CancelSource stop;
  std::jthread other([&] { stop.cancel(); });
  EXPECT_EQ(child.wait(stop.token()).error().kind, ErrorKind::cancelled);
  EXPECT_TRUE(test::is_running(child.pid()));
}

TEST_F(CancelThreadsTest, PipelineIsEnded) {
  const CancelWhenRunning stop;
  const auto result = (Command{"sleep", 1000} | Command{"cat"}).cancel(stop.token()).run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::cancelled);
}

TEST_F(CancelThreadsTest, SeriesIsEndedAndStartsNothingMore) {
  const CancelWhenRunning stop;
  auto series = Series::any_of({{"sleep", 1000}, {"true"}});
  series.cancel(stop.token());
  const auto outcome = series.run_all();
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.steps[0].outcome->error().cause, Cause::cancelled);
  EXPECT_TRUE(outcome.steps[1].skipped());
}

TEST_F(CancelThreadsTest, BatchEndsWhatRunsAndStartsNothingMore) {
  const CancelWhenRunning stop;
  Batch batch{{.jobs = 2, .cancel = stop.token()}};
  for (int i = 0; i < 10; ++i) batch.add({"sleep", 1000});
  int outcomes = 0;
  while (auto outcome = batch.next()) {
    ASSERT_FALSE(outcome->result);
    EXPECT_EQ(outcome->result.error().cause, Cause::cancelled);
    ++outcomes;
  }
  EXPECT_LE(outcomes, 2);
}

TEST_F(CancelThreadsTest, EachLineIsEnded) {
  CancelSource stop;
  const auto result =
      Command({"sh", "-c", "echo x; exec sleep 1000"}).cancel(stop.token()).each_line([&](Piece) {
        std::jthread([&] { stop.cancel(); });
        return true;
      });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::cancelled);
}

// ---- From a signal handler ----

CancelSource* to_cancel = nullptr;

/// Runs `work` in a copy of this process in which SIGALRM cancels the token.
void with_alarm(const std::function<void(const CancelToken&)>& work) {
  in_a_fork([&] {
    CancelSource source;
    to_cancel = &source;
    struct sigaction action{};
    action.sa_handler = [](int) { to_cancel->cancel(); };
    ::sigaction(SIGALRM, &action, nullptr);
    const itimerval soon{{0, 0}, {0, 30'000}};
    ::setitimer(ITIMER_REAL, &soon, nullptr);
    work(source.token());
  });
}

TEST_F(CancelCommandsTest, SignalHandlerMayCancelACommand) {
  with_alarm([](const CancelToken& token) {
    EXPECT_EQ(Command({"sleep", 1000}).cancel(token).run().error().cause, Cause::cancelled);
  });
  with_alarm([](const CancelToken& token) {
    EXPECT_EQ(Command({"sleep", 1000}).cancel(token).capture().error().cause, Cause::cancelled);
  });
}

TEST_F(CancelCommandsTest, SignalHandlerMayCancelAWait) {
  with_alarm([](const CancelToken& token) {
    auto child = Command({"sleep", 1000}).start().value();
    EXPECT_EQ(child.wait(token).error().kind, ErrorKind::cancelled);
    ChildSet set;
    EXPECT_TRUE(set.add(std::move(child)));
    EXPECT_EQ(set.next(token).error().kind, ErrorKind::cancelled);
  });
}

TEST_F(CancelCommandsTest, SignalHandlerMayCancelABatchAndAPipeline) {
  with_alarm([](const CancelToken& token) {
    Batch batch{{.jobs = 2, .cancel = token}};
    for (int i = 0; i < 4; ++i) batch.add({"sleep", 1000});
    while (auto outcome = batch.next()) EXPECT_FALSE(outcome->result);
  });
  with_alarm([](const CancelToken& token) {
    EXPECT_EQ((Command{"sleep", 1000} | Command{"cat"}).cancel(token).capture().error().cause,
              Cause::cancelled);
  });
}

TEST_F(CancelCommandsTest, TokenThatFiredBeforehandStartsNothingForLong) {
  CancelSource stop;
  stop.cancel();
  EXPECT_EQ(Command({"sleep", 1000}).cancel(stop.token()).run().error().cause, Cause::cancelled);
  EXPECT_EQ(Command({"sleep", 1000}).cancel(stop.token()).capture().error().cause,
            Cause::cancelled);
  Batch batch{{.cancel = stop.token()}};
  batch.add({"sleep", 1000});
  while (auto outcome = batch.next()) EXPECT_FALSE(outcome->result);
}

}  // namespace
}  // namespace tine
