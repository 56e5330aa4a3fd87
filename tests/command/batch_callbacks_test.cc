// SPDX-License-Identifier: MIT

/// Batch: what the functions of the user throw leaves next(), and costs nothing else.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "command/batch_testing.h"

namespace tine {
namespace {

using namespace batch_testing;

struct BatchCallbacksTest : test::CleanProcessTest {};

struct Told {
  std::multiset<std::uint64_t> outcomes{};
  std::vector<std::string> thrown{};
};

/// Calls next() to the end, whatever it throws.
Told run_all(Batch& batch) {
  Told told;
  for (;;) {
    try {
      const auto outcome = batch.next();
      if (!outcome) return told;
      EXPECT_TRUE(outcome->result) << outcome->result.error().to_string();
      told.outcomes.insert(outcome->index);
    } catch (const std::runtime_error& e) {
      told.thrown.emplace_back(e.what());
    }
  }
}

std::multiset<std::uint64_t> first(std::uint64_t count) {
  std::multiset<std::uint64_t> indices;
  for (std::uint64_t i = 0; i < count; ++i) indices.insert(i);
  return indices;
}

/// The guard of a test whose batch would wait for ever: a job that nobody hears of fails.
constexpr auto kGuard = 10s;

/// Makes one round of the event loop see that all jobs have ended: a gate that opens when all of
/// them run, in a handler that returns when none does.
class EndTogether {
 public:
  explicit EndTogether(Batch& batch, std::size_t jobs) {
    for (std::size_t i = 0; i < jobs; ++i) {
      batch.add(Command({"sh", "-c", "echo line; read x; :"}).in(Redirect::fd(reader())));
    }
    EXPECT_TRUE(poke_.writer.write_all("x"));
    EXPECT_TRUE(batch.watch(
        poke_.reader.fd().get(),
        [this, &batch] {
          std::vector<pid_t> pids;
          for (const auto& job : batch.running()) pids.push_back(job.pid);
          gate_.writer.close();
          EXPECT_TRUE(eventually([&] { return std::ranges::none_of(pids, is_running); }));
        },
        true));
  }

 private:
  [[nodiscard]] int reader() { return gate_.reader.fd().get(); }
  Pipe gate_ = Pipe::create().value();
  Pipe poke_ = Pipe::create().value();
};

TEST_F(BatchCallbacksTest, OnEndMayThrowForEveryOneThatEndsInOneRound) {
  for (const bool ordered : {false, true}) {
    Batch batch{{.timeout = kGuard, .jobs = 8, .ordered = ordered, .on_end = [](const Outcome&) {
                   throw std::runtime_error("on_end");
                 }}};
    const EndTogether jobs(batch, 8);
    const Told told = run_all(batch);
    EXPECT_EQ(told.outcomes, first(8));
    EXPECT_EQ(told.thrown, std::vector<std::string>(8, "on_end"));
  }
}

TEST_F(BatchCallbacksTest, OnOutputMayThrowAndNothingIsGivenTwice) {
  std::string said;
  BatchOptions options{.timeout = kGuard, .jobs = 4, .output = BatchOutput::lines};
  options.on_output = [&](const RunningJob&, Piece piece) {
    said += piece.text;
    throw std::runtime_error("on_output");
  };
  Batch batch{std::move(options)};
  const EndTogether jobs(batch, 4);
  const Told told = run_all(batch);
  EXPECT_EQ(told.outcomes, first(4));
  EXPECT_EQ(told.thrown.size(), 4u);
  EXPECT_EQ(said, "line\nline\nline\nline\n");
}

TEST_F(BatchCallbacksTest, OnOutputMayThrowAtTheLastLineOfAJob) {
  std::string said;
  BatchOptions options{.timeout = kGuard, .jobs = 1, .output = BatchOutput::lines};
  options.on_output = [&](const RunningJob&, Piece piece) {
    said += "[" + std::string(piece.text) + "]";
    throw std::runtime_error("on_output");
  };
  Batch batch{std::move(options)};
  batch.add({"printf", "a\\nb"});
  const Told told = run_all(batch);
  EXPECT_EQ(told.outcomes, first(1));
  EXPECT_EQ(told.thrown.size(), 2u);
  EXPECT_EQ(said, "[a\n][b]");
}

TEST_F(BatchCallbacksTest, SourceThatThrowsIsAskedAgain) {
  int asked = 0;
  Batch batch{{.timeout = kGuard, .jobs = 2}, [&](Batch::Job& job) {
                if (++asked > 12) return Batch::Supply::end;
                job.command = {"false"};
                if (asked % 3 == 0) throw std::runtime_error("source");
                job.command = {"true"};
                return Batch::Supply::job;
              }};
  const Told told = run_all(batch);
  EXPECT_EQ(told.outcomes, first(8));
  EXPECT_EQ(told.thrown, std::vector<std::string>(4, "source"));
}

TEST_F(BatchCallbacksTest, HandlersOfDescriptorsMayThrow) {
  Batch batch{{.timeout = kGuard, .jobs = 4}};
  auto once = Pipe::create().value();
  auto always = Pipe::create().value();
  ASSERT_TRUE(once.writer.write_all("x"));
  ASSERT_TRUE(always.writer.write_all("x"));
  ASSERT_TRUE(batch.watch(once.reader.fd().get(), [] { throw std::runtime_error("once"); }, true));
  ASSERT_TRUE(batch.watch(always.reader.fd().get(), [&] {
    batch.unwatch(always.reader.fd().get());
    throw std::runtime_error("always");
  }));
  const EndTogether jobs(batch, 4);
  Told told = run_all(batch);
  EXPECT_EQ(told.outcomes, first(4));
  std::ranges::sort(told.thrown);
  EXPECT_EQ(told.thrown, (std::vector<std::string>{"always", "once"}));
}

TEST_F(BatchCallbacksTest, OnShortageMayThrowAndTheRefusedJobStillRuns) {
  in_a_fork([] {
    ASSERT_TRUE(Command{"true"}.run());
    Batch batch{{.timeout = kGuard, .jobs = 100, .on_shortage = [](const Error&, std::size_t) {
                   throw std::runtime_error("on_shortage");
                 }}};
    const rlimit few{40, 40};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < 50; ++i) batch.add({"sleep", "0.05"});
    const Told told = run_all(batch);
    EXPECT_EQ(told.outcomes, first(50));
    EXPECT_FALSE(told.thrown.empty());
  });
}

TEST_F(BatchCallbacksTest, WhatIsThrownOutsideOfNextLeavesTheNextOne) {
  Batch batch{{.jobs = 1, .retries = 5, .delay = 1h, .on_end = [](const Outcome& outcome) {
                 throw std::runtime_error("on_end " + std::to_string(outcome.index));
               }}};
  batch.add({child_program("exit_with"), 3});
  auto poke = Pipe::create().value();
  ASSERT_TRUE(poke.writer.write_all("x"));
  struct Enough {};
  // Until it has failed once and waits for its second attempt.
  ASSERT_TRUE(batch.watch(poke.reader.fd().get(), [&] {
    if (batch.running().empty()) throw Enough{};
  }));
  EXPECT_THROW((void)batch.next(), Enough);
  batch.unwatch(poke.reader.fd().get());
  EXPECT_NO_THROW(batch.end_all());
  EXPECT_THROW((void)batch.next(), std::runtime_error);
  const auto outcome = batch.next();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result.error().status->code(), 3);
  EXPECT_FALSE(batch.next());
}

TEST_F(BatchCallbacksTest, BatchThatIsLeftByAnExceptionEndsWhatRuns) {
  std::vector<pid_t> pids;
  const auto leave = [&pids] {
    BatchOptions options{.jobs = 3, .output = BatchOutput::lines};
    int lines = 0;
    Batch* running = nullptr;
    options.on_output = [&](const RunningJob&, Piece) {
      if (++lines < 3) return;
      for (const auto& job : running->running()) pids.push_back(job.pid);
      throw std::runtime_error("enough");
    };
    Batch batch{std::move(options)};
    running = &batch;
    for (int i = 0; i < 3; ++i) batch.add({"sh", "-c", "echo; exec sleep 1000"});
    (void)batch.next();
  };
  EXPECT_THROW(leave(), std::runtime_error);
  EXPECT_EQ(pids.size(), 3u);
  for (const pid_t pid : pids) EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(BatchCallbacksTest, DestructorCallsNobody) {
  const test::TemporaryDirectory dir;
  int calls = 0;
  const auto count = [&calls] { ++calls; };
  auto always = Pipe::create().value();
  ASSERT_TRUE(always.writer.write_all("x"));
  {
    BatchOptions options{.jobs = 2, .output = BatchOutput::lines};
    options.on_output = [&](const RunningJob&, Piece) { count(); };
    options.on_end = [&](const Outcome&) { count(); };
    Batch batch{std::move(options)};
    batch.add({"sh", "-c", "trap 'echo last words; exit' TERM; : >$0; while :; do sleep 0.01; done",
               dir / "ready"});
    batch.add({"sh", "-c", "while ! test -e $0; do sleep 0.01; done", dir / "ready"});
    EXPECT_TRUE(batch.next());
    ASSERT_TRUE(batch.watch(always.reader.fd().get(), count));
    calls = 0;
  }
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace tine
