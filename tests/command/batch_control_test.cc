// SPDX-License-Identifier: MIT

/// Batch: stopping, suspending and abandoning it.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "command/batch_testing.h"

namespace tine {
namespace {

using namespace batch_testing;

struct BatchControlTest : test::CleanProcessTest {};

/// A batch whose first outcome has been given out while `running` sleepers run and more wait.
Batch busy(std::size_t running, BatchOptions options = {}) {
  options.jobs = running + 1;
  Batch batch{std::move(options)};
  for (std::size_t i = 0; i < running; ++i) batch.add({"sleep", 1000});
  batch.add({"true"});
  EXPECT_TRUE(batch.next()->result);
  return batch;
}

std::vector<pid_t> pids_of(const Batch& batch) {
  std::vector<pid_t> pids;
  for (const auto& job : batch.running()) pids.push_back(job.pid);
  return pids;
}

TEST_F(BatchControlTest, StopStartingLetsTheRunningOnesFinish) {
  auto gate = Pipe::create().value();
  auto poke = Pipe::create().value();
  Batch batch{{.jobs = 2}};
  for (int i = 0; i < 4; ++i) {
    batch.add(Command({"cat"}).in(Redirect::fd(gate.reader.fd().get())));
  }
  ASSERT_TRUE(poke.writer.write_all("x"));
  ASSERT_TRUE(batch.watch(
      poke.reader.fd().get(),
      [&] {
        batch.stop_starting();
        gate.writer.close();
      },
      true));
  EXPECT_TRUE(batch.next()->result);
  EXPECT_TRUE(batch.next()->result);
  EXPECT_FALSE(batch.next());
  EXPECT_FALSE(batch.halted());
}

TEST_F(BatchControlTest, EndAllCancelsByTheStopSequence) {
  Batch batch = busy(3);
  batch.end_all();
  for (int i = 0; i < 3; ++i) {
    const auto outcome = batch.next();
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->result.error().cause, Cause::cancelled);
    EXPECT_EQ(outcome->result.error().status->signal(), SIGTERM);
  }
  EXPECT_FALSE(batch.next());
}

TEST_F(BatchControlTest, KillAllKillsAtOnce) {
  Batch batch = busy(3);
  batch.kill_all();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(batch.next()->result.error().status->signal(), SIGKILL);
  }
  EXPECT_FALSE(batch.next());
}

TEST_F(BatchControlTest, KillAllMayFollowEndAll) {
  BatchOptions options;
  options.stop = {StopStep{Signal::user1, 1h}};
  Batch batch{std::move(options)};
  batch.add({"sh", "-c", "trap '' USR1; while :; do sleep 0.01; done"});
  batch.add({"sh", "-c", "trap '' USR1; while :; do sleep 0.01; done"});
  auto poke = Pipe::create().value();
  ASSERT_TRUE(poke.writer.write_all("x"));
  ASSERT_TRUE(batch.watch(
      poke.reader.fd().get(),
      [&] {
        batch.end_all();
        batch.kill_all();
      },
      true));
  while (auto outcome = batch.next()) {
    EXPECT_EQ(outcome->result.error().cause, Cause::cancelled);
  }
}

TEST_F(BatchControlTest, RetriesThatWaitEndWithTheFailureTheyHave) {
  Batch batch{{.jobs = 1, .retries = 5, .delay = 1h}};
  batch.add({child_program("exit_with"), 3});
  auto poke = Pipe::create().value();
  ASSERT_TRUE(batch.watch(poke.reader.fd().get(), [&] { batch.stop_starting(); }, true));
  ASSERT_TRUE(poke.writer.write_all("x"));
  const auto outcome = batch.next();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result.error().status->code(), 3);
  EXPECT_EQ(outcome->attempts, 1);
  EXPECT_FALSE(batch.next());
}

TEST_F(BatchControlTest, SuspendStopsTheTreesAndResumeLetsThemGoOn) {
  Batch batch{{.jobs = 2}};
  batch.add({child_program("spawn_grandchild"), "session", "wait"});
  batch.add({"true"});
  EXPECT_EQ(batch.next()->index, 1u);
  const pid_t child = batch.running().at(0).pid;
  ASSERT_TRUE(eventually([&] {  // one that is just being made would be missed
    const auto tree = process_tree(child);
    return tree && tree->size() == 2;
  }));
  batch.suspend();
  batch.suspend();
  ASSERT_TRUE(eventually([&] {
    const auto tree = process_tree(child);
    return tree && std::ranges::all_of(*tree, [](const auto& p) { return p.state == 'T'; });
  }));
  batch.resume();
  batch.resume();
  ASSERT_TRUE(eventually([&] { return process_info(child)->state != 'T'; }));
  batch.kill_all();
  EXPECT_EQ(batch.next()->result.error().cause, Cause::cancelled);
}

TEST_F(BatchControlTest, SuspendedBatchStartsNothing) {
  Batch batch{{.jobs = 2}};
  batch.add({"true"});
  batch.suspend();
  auto poke = Pipe::create().value();
  bool resumed = false;
  ASSERT_TRUE(poke.writer.write_all("x"));
  ASSERT_TRUE(batch.watch(
      poke.reader.fd().get(),
      [&] {
        EXPECT_TRUE(batch.running().empty());
        resumed = true;
        batch.resume();
      },
      true));
  EXPECT_TRUE(batch.next()->result);
  EXPECT_TRUE(resumed);
}

TEST_F(BatchControlTest, SuspendedJobsCanBeEnded) {
  Batch batch = busy(2);
  batch.suspend();
  batch.end_all();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(batch.next()->result.error().cause, Cause::cancelled);
  }
  EXPECT_FALSE(batch.next());
}

TEST_F(BatchControlTest, DestructorEndsWhatRuns) {
  std::vector<pid_t> pids;
  {
    Batch batch = busy(4);
    pids = pids_of(batch);
    EXPECT_EQ(pids.size(), 4u);
  }
  for (const pid_t pid : pids) EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(BatchControlTest, DestructorReachesTheTreesOfJobs) {
  pid_t grandchild = 0;
  {
    BatchOptions options{.jobs = 1, .output = BatchOutput::lines};
    options.stop = {StopStep{Signal::terminate, 1ms}};
    options.on_output = [&](const RunningJob&, Piece piece) {
      grandchild = std::stoi(std::string(piece.text));
    };
    Batch batch{std::move(options)};
    batch.add({child_program("spawn_grandchild"), "session", "deaf", "wait"});
    auto over = Pipe::create().value();
    // next() would wait for ever: leave it as soon as the grandchild is known.
    ASSERT_TRUE(over.writer.write_all("x"));
    ASSERT_TRUE(batch.watch(over.reader.fd().get(), [&] {
      if (grandchild != 0) batch.kill_all();
    }));
    EXPECT_FALSE(batch.next()->result);
    batch.unwatch(over.reader.fd().get());
  }
  EXPECT_GT(grandchild, 0);
  EXPECT_TRUE(eventually([&] { return !is_running(grandchild); }));
}

TEST_F(BatchControlTest, SuspendedBatchCanBeDestroyed) {
  std::vector<pid_t> pids;
  {
    Batch batch = busy(2);
    pids = pids_of(batch);
    batch.suspend();
  }
  for (const pid_t pid : pids) EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(BatchControlTest, MovedOverBatchIsEnded) {
  Batch batch = busy(2);
  const auto pids = pids_of(batch);
  batch = Batch{};
  for (const pid_t pid : pids) EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(BatchControlTest, SuspendedBatchWithADeafJobCanBeDestroyed) {
  const test::TemporaryDirectory dir;
  pid_t pid = 0;
  {
    BatchOptions options{.jobs = 2};
    options.stop = {StopStep{Signal::terminate, 1ms}};
    Batch batch{std::move(options)};
    batch.add({"sh", "-c", "trap '' TERM; : >$0; while :; do sleep 0.01; done", dir / "deaf"});
    batch.add({"sh", "-c", "while ! test -e $0; do sleep 0.01; done", dir / "deaf"});
    EXPECT_TRUE(batch.next());
    pid = batch.running().at(0).pid;
    batch.suspend();
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(BatchControlTest, MovedOverBatchIsEndedByItsStopSequence) {
  const test::TemporaryDirectory dir;
  BatchOptions options{.jobs = 2};
  options.stop = {StopStep{Signal::user1, 10s}};
  Batch batch{std::move(options)};
  batch.add({"sh", "-c", "trap ': >$0.user1; exit' USR1; : >$0.ready; while :; do sleep 0.01; done",
             dir / "f"});
  batch.add({"sh", "-c", "while ! test -e $0.ready; do sleep 0.01; done", dir / "f"});
  EXPECT_TRUE(batch.next());
  batch = Batch{};
  EXPECT_TRUE(std::filesystem::exists(dir / "f.user1"));
}

TEST_F(BatchControlTest, KillMarkIsInTheEnvironmentOfEveryJob) {
  const std::string mark = "TINE_TEST_BATCH=" + std::to_string(::getpid());
  Batch batch{{.jobs = 1, .kill_mark = mark}};
  batch.add({"sh", "-c", "echo $TINE_TEST_BATCH"});
  EXPECT_EQ(batch.next()->out.read(), std::to_string(::getpid()) + "\n");
}

TEST_F(BatchControlTest, ForkedCopyOfABatchDisturbsNothing) {
  auto batch = std::make_unique<Batch>(BatchOptions{.jobs = 1});
  batch->add({child_program("sleep_until_eof")});
  batch->add({"true"});
  ASSERT_TRUE(batch->next());
  auto poke = Pipe::create().value();
  const int fd = poke.reader.fd().get();
  int heard = 0;
  ASSERT_TRUE(batch->watch(fd, [&] { ++heard; }, true));
  in_a_fork([&batch, fd] {
    batch->unwatch(fd);
    EXPECT_EQ(batch->watch(fd, [] {}).error().kind, ErrorKind::not_owner);
    batch->end_all();
    EXPECT_FALSE(batch->next());
    batch.reset();
  });
  ASSERT_TRUE(poke.writer.write_all("x"));
  ASSERT_TRUE(batch->next());
  EXPECT_FALSE(batch->next());
  EXPECT_EQ(heard, 1);
}

TEST_F(BatchControlTest, TimeoutThatNoClockCanHoldIsNone) {
  EXPECT_TRUE(Command{"true"}.timeout(std::chrono::nanoseconds::max()).capture());
  EXPECT_TRUE(Command{"true"}.timeout(std::chrono::nanoseconds::max()).run());
  Batch batch{{.timeout = std::chrono::nanoseconds::max(), .jobs = 2}};
  batch.add({"sleep", "0.05"});
  batch.add({"true"});
  while (auto outcome = batch.next()) EXPECT_TRUE(outcome->result);
}

}  // namespace
}  // namespace tine
