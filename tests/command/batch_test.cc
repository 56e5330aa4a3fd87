// SPDX-License-Identifier: MIT

/// Batch: what goes in comes out, so many at a time, in which order, and how often.

#include "tine/batch.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "command/batch_testing.h"

namespace tine {
namespace {

using namespace batch_testing;

struct BatchTest : test::CleanProcessTest {};

std::vector<Outcome> all(Batch& batch) {
  std::vector<Outcome> outcomes;
  while (auto outcome = batch.next()) outcomes.push_back(std::move(*outcome));
  return outcomes;
}

/// Commands that never end, made one after another.
Batch::Source endless(const Command& command) {
  return [command](Batch::Job& job) {
    job.command = command;
    return Batch::Supply::job;
  };
}

TEST_F(BatchTest, EveryCommandHasItsOutcome) {
  Batch batch{{.jobs = 3}};
  for (int i = 0; i < 20; ++i) batch.add(exits(i));
  std::set<std::uint64_t> indices;
  for (const auto& outcome : all(batch)) {
    indices.insert(outcome.index);
    EXPECT_LT(outcome.slot, 3u);
    EXPECT_EQ(outcome.attempts, 1);
    EXPECT_GT(outcome.elapsed, 0ns);
    if (outcome.index == 0) {
      EXPECT_TRUE(outcome.result);
    } else {
      EXPECT_EQ(outcome.result.error().status->code(), static_cast<int>(outcome.index));
    }
  }
  EXPECT_EQ(indices.size(), 20u);
}

TEST_F(BatchTest, EmptyBatchIsOver) {
  Batch batch;
  EXPECT_FALSE(batch.next());
  EXPECT_FALSE(batch.halted());
}

TEST_F(BatchTest, CanBeFilledAgainAfterItWasOver) {
  Batch batch{{.jobs = 1}};
  batch.add(exits(0));
  EXPECT_EQ(all(batch).size(), 1u);
  batch.add(exits(0));
  const auto more = all(batch);
  ASSERT_EQ(more.size(), 1u);
  EXPECT_EQ(more[0].index, 1u);
}

TEST_F(BatchTest, OrderedOutcomesComeInTheOrderOfTheInput) {
  Batch batch{{.jobs = 4, .ordered = true}};
  for (int i = 0; i < 40; ++i)
    batch.add(script("sleep 0.0$(( (41 - $0) % 7 ))", std::to_string(i)));
  std::uint64_t next = 0;
  while (auto outcome = batch.next()) EXPECT_EQ(outcome->index, next++);
  EXPECT_EQ(next, 40u);
}

TEST_F(BatchTest, UnorderedOutcomesComeAsTheyEnd) {
  const TemporaryDirectory dir;
  Batch batch{{.jobs = 2}};
  // The first ends only after the second has been given out.
  batch.add(script("while ! test -e \"$0\"; do sleep 0.01; done", dir / "go"));
  batch.add(exits(0));
  EXPECT_EQ(batch.next()->index, 1u);
  dir.write("go", "");
  EXPECT_EQ(batch.next()->index, 0u);
}

TEST_F(BatchTest, NoMoreThanJobsRunAtOnce) {
  const TemporaryDirectory dir;
  Batch batch{{.jobs = 3}};
  // Every job counts the markers of those that run beside it.
  const std::string text = "mkdir $0/$$ && ls $0 | wc -l && sleep 0.02; rmdir $0/$$";
  for (int i = 0; i < 30; ++i) batch.add(script(text, dir.path()));
  int most = 0;
  for (const auto& outcome : all(batch)) most = std::max(most, std::stoi(outcome.out.read()));
  EXPECT_LE(most, 3);
  EXPECT_GE(most, 1);
}

TEST_F(BatchTest, SlotsAreReusedFromTheLowest) {
  Batch batch{{.jobs = 2, .ordered = true}};
  for (int i = 0; i < 10; ++i) batch.add(exits(0));
  std::set<std::size_t> slots;
  while (auto outcome = batch.next()) slots.insert(outcome->slot);
  EXPECT_TRUE(slots == (std::set<std::size_t>{0, 1}) || slots == (std::set<std::size_t>{0}));
}

TEST_F(BatchTest, RunningSaysWhatRuns) {
  Batch batch{{.jobs = 2}};
  batch.add({"sleep", 1000});
  batch.add(exits(0));
  EXPECT_EQ(batch.next()->index, 1u);
  const auto running = batch.running();
  ASSERT_EQ(running.size(), 1u);
  EXPECT_EQ(running[0].index, 0u);
  EXPECT_EQ(*running[0].name, "sleep 1000");
  EXPECT_TRUE(test::is_running(running[0].pid));
}

TEST_F(BatchTest, StdinOfJobsIsNullUnlessTheySayOtherwise) {
  Batch batch{{.jobs = 1, .ordered = true}};
  batch.add({"cat"});
  batch.add(Command{"cat"}.input("given"));
  const auto outcomes = all(batch);
  EXPECT_EQ(outcomes[0].out.read(), "");
  EXPECT_EQ(outcomes[1].out.read(), "given");
}

TEST_F(BatchTest, JobThatCannotStartIsAnOutcome) {
  Batch batch{{.jobs = 2, .ordered = true}};
  batch.add(exits(0));
  batch.add({"/no/such/program"});
  batch.add(exits(0));
  const auto outcomes = all(batch);
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_EQ(outcomes[1].result.error().cause, Cause::not_started);
  EXPECT_EQ(outcomes[1].result.error().error->kind, ErrorKind::not_found);
  EXPECT_TRUE(outcomes[2].result);
}

TEST_F(BatchTest, EndlessInputOfJobsThatCannotStartGivesOutcomes) {
  for (const bool ordered : {false, true}) {
    Batch batch{{.jobs = 2, .ordered = ordered}, endless({"/no/such/program"})};
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(batch.next()->result.error().cause, Cause::not_started);
    }
    // Before there is a process at all.
    Batch nowhere{{.jobs = 2, .ordered = ordered, .tmpdir = "/no/such/dir"}, endless({"true"})};
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(nowhere.next()->result.error().cause, Cause::not_started);
    }
  }
}

TEST_F(BatchTest, JobThatDiesIsAnOutcomeAndTheRestGoesOn) {
  Batch batch{{.jobs = 1, .ordered = true}};
  batch.add({child_program("die_by"), SIGKILL});
  batch.add(exits(0));
  const auto outcomes = all(batch);
  EXPECT_EQ(outcomes[0].result.error().status->signal(), SIGKILL);
  EXPECT_TRUE(outcomes[1].result);
}

// ---- Retries ----

TEST_F(BatchTest, FailuresAreTriedAgain) {
  const TemporaryDirectory dir;
  Batch batch{{.jobs = 2, .retries = 3}};
  batch.add(script("echo x >>$0; test $(wc -l <$0) -ge 3", dir / "tries"));
  batch.add(exits(5));
  batch.add(exits(0));
  for (const auto& outcome : all(batch)) {
    switch (outcome.index) {
      case 0:
        EXPECT_TRUE(outcome.result);
        EXPECT_EQ(outcome.attempts, 3);
        break;
      case 1:
        EXPECT_EQ(outcome.result.error().attempts, 4);
        EXPECT_EQ(outcome.attempts, 4);
        break;
      default: EXPECT_EQ(outcome.attempts, 1);
    }
  }
}

TEST_F(BatchTest, OnlyTheLastAttemptsOutputIsKept) {
  const TemporaryDirectory dir;
  Batch batch{{.jobs = 1, .retries = 2}};
  batch.add(script("echo x >>$0; wc -l <$0; test $(wc -l <$0) -ge 3", dir / "tries"));
  EXPECT_EQ(all(batch)[0].out.read(), "3\n");
}

TEST_F(BatchTest, JobsThatCannotStartAreTriedAgainToo) {
  Batch batch{{.jobs = 1, .retries = 2}};
  batch.add({"/no/such/program"});
  EXPECT_EQ(all(batch)[0].attempts, 3);
}

TEST_F(BatchTest, RetriesRunInTheSlotTheyWereMadeFor) {
  const TemporaryDirectory dir;
  // The second job fails when the slot below its own is free, and is tried again.
  const auto retried = script(
      "while ! test -e $0.fail; do sleep 0.01; done; test -e $0.again || { : >$0.again; exit 1; }; "
      "while ! test -e $0.end; do sleep 0.01; done",
      dir / "f");
  std::vector<std::size_t> slots;
  Batch* running = nullptr;
  Batch batch{{.jobs = 2, .retries = 1}, [&](Batch::Job& job) {
                const bool again = slots.size() == 2 && !running->running().empty() &&
                                   running->running()[0].attempt == 2;
                if (slots.size() == 3) return Batch::Supply::end;
                if (slots.size() == 2 && !again) return Batch::Supply::wait;
                job.command = slots.size() == 1 ? retried : Command{"true"};
                slots.push_back(job.slot);
                return Batch::Supply::job;
              }};
  running = &batch;
  EXPECT_EQ(batch.next()->index, 0u);
  dir.write("f.fail", "");
  const auto beside = batch.next();
  ASSERT_TRUE(beside);
  EXPECT_EQ(beside->index, 2u);
  dir.write("f.end", "");
  const auto second = batch.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->attempts, 2);
  EXPECT_EQ(second->slot, slots[1]);
  EXPECT_EQ(beside->slot, slots[2]);
  EXPECT_NE(slots[1], slots[2]);
}

TEST_F(BatchTest, RetriesFindTheirTurnWhenManyOutcomesWaitForThem) {
  // The first fails only when 256 finished ones are already held back for it.
  const TemporaryDirectory dir;
  std::size_t started = 0;
  Batch batch{{.jobs = 2, .retries = 1, .ordered = true}, [&](Batch::Job& job) {
                if (started == 0) {
                  job.command = script(
                      "test -e $0.again && exit 0; : >$0.again; "
                      "while ! test -e $0.full; do sleep 0.01; done; exit 1",
                      dir / "f");
                } else {
                  job.command = Command{"true"};
                }
                if (++started == 257) dir.write("f.full", "");  // the last that may start beside it
                return started > 400 ? Batch::Supply::end : Batch::Supply::job;
              }};
  std::uint64_t next = 0;
  while (auto outcome = batch.next()) {
    EXPECT_EQ(outcome->index, next);
    EXPECT_EQ(outcome->attempts, next == 0 ? 2 : 1);
    ++next;
  }
  EXPECT_EQ(next, 400u);
}

// ---- Supply ----

TEST_F(BatchTest, SourceIsAskedOnlyWhenASlotIsFree) {
  int asked = 0;
  Batch batch{{.jobs = 2}, [&](Batch::Job& job) {
                ++asked;
                job.command = Command{"sleep", 1000};
                return Batch::Supply::job;
              }};
  auto timer = Pipe::create().value();
  ASSERT_TRUE(batch.watch(timer.reader.fd().get(), [&] { batch.kill_all(); }, true));
  ASSERT_TRUE(timer.writer.write_all("x"));
  EXPECT_EQ(all(batch).size(), 2u);
  EXPECT_EQ(asked, 2);
}

TEST_F(BatchTest, SourceThatWaitsIsAskedAgainAfterAnEvent) {
  auto input = Pipe::create().value();
  std::vector<std::string> words;
  bool ended = false;
  Batch batch{{.jobs = 1}, [&](Batch::Job& job) {
                if (words.empty()) return ended ? Batch::Supply::end : Batch::Supply::wait;
                job.command = Command{"echo", words.back()};
                job.name = "the word " + words.back();
                words.pop_back();
                return Batch::Supply::job;
              }};
  ASSERT_TRUE(batch.watch(input.reader.fd().get(), [&] {
    char byte = 0;
    if (::read(input.reader.fd().get(), &byte, 1) == 1) {
      words.emplace_back(1, byte);
    } else {
      ended = true;
      batch.unwatch(input.reader.fd().get());
    }
  }));
  std::string seen;
  for (const char* word : {"a", "b", "c"}) {
    ASSERT_TRUE(input.writer.write_all(word));
    auto outcome = batch.next();
    ASSERT_TRUE(outcome);
    seen += outcome->out.read();
  }
  input.writer.close();
  EXPECT_FALSE(batch.next());
  EXPECT_EQ(seen, "a\nb\nc\n");
}

TEST_F(BatchTest, SlotIsKnownWhenTheSourceIsAsked) {
  int left = 6;
  Batch batch{{.jobs = 2}, [&](Batch::Job& job) {
                if (left-- == 0) return Batch::Supply::end;
                job.command = Command{"echo", job.slot};
                return Batch::Supply::job;
              }};
  while (auto outcome = batch.next()) {
    EXPECT_EQ(outcome->out.read(), std::to_string(outcome->slot) + "\n");
  }
}

TEST_F(BatchTest, SourceMayEndTheBatchAndStillHandOverAJob) {
  Batch* running = nullptr;
  Batch batch{{.jobs = 2}, [&](Batch::Job& job) {
                running->end_all();
                job.command = Command{"sleep", 1000};
                return Batch::Supply::job;
              }};
  running = &batch;
  const auto outcome = batch.next();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result.error().cause, Cause::cancelled);
  EXPECT_FALSE(batch.next());
}

TEST_F(BatchTest, OrderedOutcomesHoldBackTheInput) {
  const TemporaryDirectory dir;
  std::uint64_t supplied = 0;
  Batch batch{{.jobs = 2, .ordered = true}, [&](Batch::Job& job) {
                if (supplied == 600) return Batch::Supply::end;
                if (supplied == 258) dir.write("go", "");  // one more than may wait for the first
                job.command =
                    supplied == 0
                        ? script(
                              "i=0; while ! test -e $0 && test $i -lt 100; do sleep 0.01; "
                              "i=$((i+1)); done; test -e $0 && echo too many || echo fine",
                              dir / "go")
                        : Command{"true"};
                ++supplied;
                return Batch::Supply::job;
              }};
  auto first = batch.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->index, 0u);
  EXPECT_LE(supplied, 260u);
  std::uint64_t next = 1;
  while (auto outcome = batch.next()) EXPECT_EQ(outcome->index, next++);
  EXPECT_EQ(next, 600u);
}

TEST_F(BatchTest, WatchedHandlerMayRunOnce) {
  auto input = Pipe::create().value();
  ASSERT_TRUE(input.writer.write_all("x"));  // stays readable
  int calls = 0;
  Batch batch{{.jobs = 1}};
  ASSERT_TRUE(batch.watch(input.reader.fd().get(), [&] { ++calls; }, true));
  for (int i = 0; i < 5; ++i) batch.add(exits(0));
  EXPECT_EQ(all(batch).size(), 5u);
  EXPECT_EQ(calls, 1);
}

TEST_F(BatchTest, BatchCanBeMoved) {
  Batch batch{{.jobs = 2}};
  for (int i = 0; i < 4; ++i) batch.add(exits(0));
  EXPECT_TRUE(batch.next());
  Batch moved = std::move(batch);
  EXPECT_EQ(all(moved).size(), 3u);
}

}  // namespace
}  // namespace tine
