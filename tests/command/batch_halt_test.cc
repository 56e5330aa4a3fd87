// SPDX-License-Identifier: MIT

/// Batch: when it stops by itself: halt rules, timeouts, delays.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "command/batch_testing.h"

namespace tine {
namespace {

using namespace batch_testing;
using When = Halt::When;
using What = Halt::What;

struct BatchHaltTest : test::CleanProcessTest {};

/// What came out: exit codes in the order of the outcomes; `c` cancelled, `t` timed out.
std::string told(Batch& batch) {
  std::string text;
  while (auto outcome = batch.next()) {
    const auto& result = outcome->result;
    if (result) {
      text += '0';
    } else if (result.error().cause == Cause::cancelled) {
      text += 'c';
    } else if (result.error().cause == Cause::timed_out) {
      text += 't';
    } else {
      text += std::to_string(*result.error().status->code());
    }
  }
  return text;
}

/// One at a time, with the given exit codes.
std::string one_by_one(const Halt& halt, const std::string& codes, bool* halted = nullptr) {
  Batch batch{{.jobs = 1, .halt = halt}};
  for (const char code : codes) batch.add(exits(code - '0'));
  std::string text = told(batch);
  if (halted != nullptr) *halted = batch.halted();
  return text;
}

TEST_F(BatchHaltTest, JobThatEndsInTimeWhileTheCallerIsBusyHasNotTimedOut) {
  auto gate = Pipe::create().value();
  Batch* busy = nullptr;
  BatchOptions options{.jobs = 2, .output = BatchOutput::lines};
  options.on_output = [&](const RunningJob&, Piece) {
    ASSERT_EQ(busy->running().size(), 2u);
    const pid_t quick = busy->running()[0].pid;
    gate.writer.close();
    EXPECT_TRUE(eventually([&] { return !is_running(quick); }));
    std::this_thread::sleep_for(1100ms);  // beyond its limit
  };
  Batch batch{std::move(options)};
  busy = &batch;
  batch.add(Command({"cat"}).in(Redirect::fd(gate.reader.fd().get())).timeout(1s));
  batch.add({"echo", "line"});
  EXPECT_EQ(told(batch), "00");
}

TEST_F(BatchHaltTest, NeverMeansNever) {
  bool halted = true;
  EXPECT_EQ(one_by_one({}, "1110", &halted), "1110");
  EXPECT_FALSE(halted);
}

TEST_F(BatchHaltTest, CountsOfFailuresSuccessesAndEnds) {
  bool halted = false;
  EXPECT_EQ(one_by_one({When::soon, What::fail, 1}, "00100", &halted), "001");
  EXPECT_TRUE(halted);
  EXPECT_EQ(one_by_one({When::soon, What::fail, 2}, "0101000"), "0101");
  EXPECT_EQ(one_by_one({When::soon, What::success, 1}, "11010"), "110");
  EXPECT_EQ(one_by_one({When::soon, What::success, 2}, "110100"), "11010");
  EXPECT_EQ(one_by_one({When::soon, What::done, 3}, "10101"), "101");
  EXPECT_EQ(one_by_one({When::soon, What::fail, 9}, "111"), "111");
}

TEST_F(BatchHaltTest, PercentagesNeedThreeEnds) {
  EXPECT_EQ(one_by_one({When::soon, What::fail, 1, 50}, "1100000"), "110");
  EXPECT_EQ(one_by_one({When::soon, What::fail, 1, 50}, "0001111000"), "000111");
  EXPECT_EQ(one_by_one({When::soon, What::success, 1, 100}, "0000"), "000");
  EXPECT_EQ(one_by_one({When::soon, What::success, 1, 100}, "10000"), "10000");
  EXPECT_EQ(one_by_one({When::soon, What::done, 1, 100}, "10101"), "101");
}

TEST_F(BatchHaltTest, SoonLetsTheRunningOnesFinish) {
  auto gate = Pipe::create().value();
  Batch batch{{.jobs = 2, .halt = {When::soon, What::fail, 1}}};
  batch.add(Command({"sh", "-c", "read x"}).in(Redirect::fd(gate.reader.fd().get())).unchecked());
  batch.add(exits(1));
  batch.add(exits(0));
  EXPECT_EQ(batch.next()->index, 1u);
  EXPECT_TRUE(batch.halted());
  EXPECT_EQ(batch.running().size(), 1u);
  gate.writer.close();
  EXPECT_EQ(told(batch), "0");
}

TEST_F(BatchHaltTest, NowEndsTheRunningOnes) {
  Batch batch{{.jobs = 3, .halt = {When::now, What::fail, 1}}};
  batch.add({"sleep", 1000});
  batch.add({"sleep", 1000});
  batch.add(exits(1));
  batch.add(exits(0));
  const std::string text = told(batch);
  EXPECT_EQ(text, "1cc");
  EXPECT_TRUE(batch.halted());
}

TEST_F(BatchHaltTest, NowOnSuccessAndDone) {
  for (const What what : {What::success, What::done}) {
    Batch batch{{.jobs = 2, .halt = {When::now, what, 1}}};
    batch.add({"sleep", 1000});
    batch.add(exits(0));
    batch.add(exits(0));
    EXPECT_EQ(told(batch), "0c");
  }
}

TEST_F(BatchHaltTest, RetriedFailuresCountOnce) {
  Batch batch{{.jobs = 1, .retries = 3, .halt = {When::soon, What::fail, 2}}};
  for (int i = 0; i < 5; ++i) batch.add(exits(1));
  EXPECT_EQ(told(batch), "11");
}

TEST_F(BatchHaltTest, OrderedBatchGivesAllThatEnded) {
  Batch batch{{.jobs = 3, .ordered = true, .halt = {When::soon, What::fail, 1}}};
  batch.add({"sh", "-c", "sleep 0.1"});
  batch.add(exits(0));
  batch.add(exits(1));
  for (int i = 0; i < 5; ++i) batch.add(exits(0));
  std::uint64_t next = 0;
  while (auto outcome = batch.next()) EXPECT_EQ(outcome->index, next++);
  EXPECT_GE(next, 3u);
}

TEST_F(BatchHaltTest, JobsThatCannotStartCountAsFailures) {
  Batch batch{{.jobs = 1, .halt = {When::soon, What::fail, 2}}};
  for (int i = 0; i < 10; ++i) batch.add({"/no/such/program"});
  int outcomes = 0;
  while (batch.next()) ++outcomes;
  EXPECT_EQ(outcomes, 2);
}

// ---- Timeouts ----

TEST_F(BatchHaltTest, TimeoutEndsTheJobAndNotTheBatch) {
  Batch batch{{.timeout = 50ms, .jobs = 1, .ordered = true}};
  batch.add({"sleep", 1000});
  batch.add(exits(0));
  EXPECT_EQ(told(batch), "t0");
}

TEST_F(BatchHaltTest, DeafTreesAreKilledByTheStopSequence) {
  Batch batch{{.timeout = 300ms,
               .stop = {StopStep{Signal::interrupt, 1ms}, StopStep{Signal::terminate, 1ms}},
               .jobs = 1}};
  batch.add({child_program("spawn_grandchild"), "session", "deaf", "wait"});
  auto outcome = batch.next();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result.error().cause, Cause::timed_out);
  const std::string said = outcome->out.read();
  if (!said.empty()) {
    EXPECT_TRUE(test::eventually([&] { return !test::is_running(std::stoi(said)); }));
  }
}

TEST_F(BatchHaltTest, CommandsOwnTimeoutHoldsWhenShorter) {
  Batch batch{{.timeout = 1h, .jobs = 1}};
  batch.add(Command({"sleep", 1000}).timeout(20ms));
  EXPECT_EQ(told(batch), "t");
}

TEST_F(BatchHaltTest, TimedOutJobsAreTriedAgain) {
  const test::TemporaryDirectory dir;
  Batch batch{{.timeout = 300ms, .jobs = 1, .retries = 1}};
  batch.add({"sh", "-c", "test -e $0 && exit 0; : >$0; exec sleep 1000", dir / "tried"});
  auto outcome = batch.next();
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->result);
  EXPECT_EQ(outcome->attempts, 2);
}

TEST_F(BatchHaltTest, PercentOfTheMedianEndsTheStraggler) {
  Batch batch{{.jobs = 1, .ordered = true, .timeout_percent = 2000}};
  for (int i = 0; i < 4; ++i) batch.add({"sleep", "0.03"});
  batch.add({"sleep", 1000});
  batch.add(exits(0));
  EXPECT_EQ(told(batch), "0000t0");
}

TEST_F(BatchHaltTest, MedianReachesJobsThatRanBeforeItWasKnown) {
  Batch batch{{.jobs = 2, .timeout_percent = 2000}};
  batch.add({"sleep", 1000});
  for (int i = 0; i < 4; ++i) batch.add({"sleep", "0.03"});
  std::string text = told(batch);
  std::ranges::sort(text);
  EXPECT_EQ(text, "0000t");
}

TEST_F(BatchHaltTest, JobsThatCannotStartHaveNoRunTime) {
  Batch batch{{.jobs = 1, .ordered = true, .timeout_percent = 1000}};
  for (int i = 0; i < 3; ++i) batch.add({"/no/such/program"});
  batch.add({"sleep", "0.05"});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(batch.next()->result.error().cause, Cause::not_started);
  EXPECT_TRUE(batch.next()->result);
}

TEST_F(BatchHaltTest, TimeOfASuspensionDoesNotCount) {
  auto gate = Pipe::create().value();
  auto poke = Pipe::create().value();
  Batch batch{{.jobs = 2, .timeout_percent = 3000}};
  batch.add(Command({"sh", "-c", "read x; :"}).in(Redirect::fd(gate.reader.fd().get())));
  std::chrono::nanoseconds longest{};
  for (int i = 0; i < 4; ++i) {
    batch.add({"sleep", "0.02"});
    longest = std::max(longest, batch.next()->elapsed);
  }
  const auto until = std::chrono::steady_clock::now() + 30 * longest;
  batch.suspend();
  while (std::chrono::steady_clock::now() < until) ::usleep(1000);  // its limit, had it run
  batch.resume();
  batch.add({"sleep", "0.02"});  // sets the limit of the first anew
  EXPECT_TRUE(batch.next()->result);
  gate.writer.close();
  EXPECT_TRUE(batch.next()->result);
}

TEST_F(BatchHaltTest, MedianOfEndedJobsHurtsNobodyElse) {
  // Timers of jobs that ended must not fire at the next one in their slot, nor at nobody.
  Batch batch{{.jobs = 1, .ordered = true, .timeout_percent = 1'000'000}};
  for (int i = 0; i < 3; ++i) batch.add({"true"});
  EXPECT_EQ(told(batch), "000");
  // All together they take longer than the limit of each, which no busy machine reaches.
  Batch next{{.jobs = 1, .ordered = true, .timeout_percent = 6000}};
  std::string expected;
  for (int i = 0; i < 80; ++i) {
    next.add({"sleep", "0.05"});
    expected += '0';
  }
  EXPECT_EQ(told(next), expected);
}

// ---- Delay ----

TEST_F(BatchHaltTest, DelaySeparatesTheStarts) {
  Batch batch{{.jobs = 4, .delay = 20ms}};
  for (int i = 0; i < 5; ++i) batch.add({"date", "+%s%N"});
  std::vector<std::int64_t> starts;
  while (auto outcome = batch.next()) {
    starts.push_back(
        std::chrono::duration_cast<std::chrono::milliseconds>(outcome->started.time_since_epoch())
            .count());
  }
  std::ranges::sort(starts);
  ASSERT_EQ(starts.size(), 5u);
  EXPECT_GE(starts.back() - starts.front(), 4 * 20 - 4);  // the least, not how long it took
}

}  // namespace
}  // namespace tine
