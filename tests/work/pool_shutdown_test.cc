// SPDX-License-Identifier: MIT
//
// How pools end.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pipe.h"
#include "tine/pool.h"
#include "work/pool_tasks.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;

struct PoolShutdownTest : PoolFixture {};

TEST_F(PoolShutdownTest, B068_SubmitAfterShutdownIsRefused) {
  Pool pool{{.workers = 1}};
  pool.shutdown();
  pool.shutdown();
  const auto refused = pool.submit(twice, 1).get();
  EXPECT_EQ(refused.error().cause, Cause::not_started);
  EXPECT_NE(refused.error().to_string().find("shut down"), std::string::npos)
      << refused.error().to_string();
}

TEST_F(PoolShutdownTest, B069_PendingTasksFinish) {
  std::vector<PoolFuture<int>> futures;
  {
    Pool pool{{.workers = 2}};
    for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(twice, i));
    pool.shutdown();
  }
  EXPECT_EQ(values(futures).size(), 50u);
}

TEST_F(PoolShutdownTest, B070_WithoutDrainingTheRestIsCancelled) {
  std::vector<PoolFuture<pid_t>> futures;
  Pool pool{{.workers = 5}};
  for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(wait_at_gate));
  wait_for(kBegun, 5);
  pool.shutdown(Drain::no);
  for (auto& future : futures) EXPECT_EQ(future.get().error().cause, Cause::cancelled);
  EXPECT_EQ(shared[kBegun].load(), 5);
}

TEST_F(PoolShutdownTest, B073_CancelRightBeforeTheEnd) {
  for (int i = 0; i < 20; ++i) {
    Pool pool{{.workers = 1}};
    auto future = pool.submit(hang);
    EXPECT_TRUE(future.cancel());
  }
}

TEST_F(PoolShutdownTest, B074_WorkerCrashesDuringShutdown) {
  Pool pool{{.workers = 1}};
  auto crash = pool.submit([] { ::raise(SIGKILL); });
  auto behind = pool.submit(twice, 1);
  pool.shutdown();
  EXPECT_EQ(crash.get().error().cause, Cause::signaled);
  EXPECT_EQ(behind.get().value(), 2);
}

TEST_F(PoolShutdownTest, TasksThatDoNotEndAreKilledAfterTheGrace) {
  Pool pool{{.workers = 1, .shutdown_grace = 20ms}};
  auto stuck = pool.submit(hang);
  auto behind = pool.submit(nothing);
  wait_for(kBegun, 1);
  pool.shutdown();
  EXPECT_EQ(stuck.get().error().cause, Cause::cancelled);
  EXPECT_EQ(behind.get().error().cause, Cause::cancelled);
}

TEST_F(PoolShutdownTest, B081_ManyQueuedTasksAreNoHindrance) {
  std::vector<PoolFuture<void>> futures;
  Pool pool{{.workers = 2}};
  for (int i = 0; i < 10'000; ++i) futures.push_back(pool.submit(hang));
  pool.shutdown(Drain::no);
  for (auto& future : futures) ASSERT_EQ(future.get().error().cause, Cause::cancelled);
}

TEST_F(PoolShutdownTest, B083_EarlyEndWithOneTaskPerWorker) {
  std::vector<PoolFuture<int>> futures;
  {
    Pool pool{{.workers = 3, .recycle = {.after_tasks = 1}}};
    for (int i = 0; i < 6; ++i) futures.push_back(pool.submit(twice, i));
  }
  EXPECT_EQ(values(futures).size(), 6u);
}

TEST_F(PoolShutdownTest, B057_KillingAPoolEndsWhatRunsAndNothingElseBegins) {
  std::vector<PoolFuture<void>> futures;
  {
    Pool pool{{.workers = 2}};
    for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(hang));
    wait_for(kBegun, 2);
    pool.shutdown(Drain::no);
  }
  for (auto& future : futures) EXPECT_EQ(future.get().error().cause, Cause::cancelled);
  EXPECT_EQ(shared[kBegun], 2);
}

TEST_F(PoolShutdownTest, B078_APoolThatGoesFinishesItsTasksFirst) {
  std::vector<PoolFuture<int>> futures;
  {
    Pool pool{{.workers = 2}};
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit(twice, i));
  }
  EXPECT_EQ(values(futures).size(), 100u);
}

TEST_F(PoolShutdownTest, B115_WorkerKilledWhileThePoolIsResized) {
  Pool pool{{.workers = 3}};
  auto victim = pool.submit(hang);
  wait_for(kBegun, 1);
  const auto pids = pool.worker_pids();
  ASSERT_TRUE(pool.resize(1));
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  EXPECT_FALSE(victim.get());
  ASSERT_TRUE(pool.resize(3));
  EXPECT_EQ(pool.submit(twice, 4).get().value(), 8);
}

TEST_F(PoolShutdownTest, B119_WorkersStayBetweenMapsUnlessTheyAreToBeReplaced) {
  Pool staying{{.workers = 1}};
  EXPECT_EQ(staying.submit(own_pid).get().value(), staying.submit(own_pid).get().value());
  Pool replaced{{.workers = 1, .recycle = {.after_tasks = 1}}};
  EXPECT_NE(replaced.submit(own_pid).get().value(), replaced.submit(own_pid).get().value());
}

TEST_F(PoolShutdownTest, B177_CancelledTasksWithLargeArguments) {
  Pool pool{{.workers = 1}};
  auto running = pool.submit(hang);
  wait_for(kBegun, 1);
  std::vector<PoolFuture<std::size_t>> futures;
  for (int i = 0; i < 10; ++i) {
    futures.push_back(pool.submit([](const std::string& text) { return text.size(); },
                                  std::string(std::size_t{1} << 20, 'x')));
  }
  for (auto& future : futures) EXPECT_TRUE(future.cancel());
  EXPECT_TRUE(running.cancel());
}

TEST_F(PoolShutdownTest, B072_WhatATaskPrintsIsOutWhenItIsDone) {
  testing::internal::CaptureStdout();
  {
    Pool pool{{.workers = 1}};
    EXPECT_TRUE(pool.submit([] { std::printf("printed\n"); }).get());
    ::kill(pool.worker_pids().at(0), SIGKILL);
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "printed\n");
}

TEST_F(PoolShutdownTest, B072_WhatATaskSaysOnStderrIsOutWhenItIsDone) {
  const Fd file{::memfd_create("stderr of the host", MFD_CLOEXEC)};
  const StderrTo redirected(file.get());
  const auto text = [&] {
    std::string all(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
    return all.substr(0, static_cast<std::size_t>(::pread(file.get(), all.data(), all.size(), 0)));
  };
  Pool pool{{.workers = 1}};
  std::string expected;
  for (int i = 0; i < 20; ++i) {
    const auto say = [](int n) {
      std::fprintf(stderr, "said %d\n", n);
      if (n % 3 == 1) throw std::runtime_error("no");
      if (n % 3 == 2) ::raise(SIGKILL);
    };
    EXPECT_EQ(pool.submit(say, i).get().has_value(), i % 3 == 0);
    expected += "said " + std::to_string(i) + "\n";
    EXPECT_EQ(text(), expected);
  }
  const auto results = pool.map(test::numbers(3), [](int n) { std::fprintf(stderr, "%d\n", n); });
  EXPECT_TRUE(results.all_succeeded());
  EXPECT_EQ(text(), expected + "0\n1\n2\n");
}

TEST_F(PoolShutdownTest, AStderrThatNobodyReadsHoldsNothingUp) {
  auto pipe = Pipe::create().value();
  const StderrTo redirected(pipe.writer.fd().get());
  ::fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
  while (::write(STDERR_FILENO, "x", 1) == 1) {
  }
  ::fcntl(STDERR_FILENO, F_SETFL, 0);
  Pool pool{{.workers = 2}};
  const auto say = [](int n) {
    std::fprintf(stderr, "said\n");
    return n;
  };
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(say, i));
  EXPECT_EQ(values(futures), test::numbers(50));
  const auto late = pool.submit({.timeout = 20ms}, hang).get();
  EXPECT_EQ(late.error().cause, Cause::timed_out);
  const auto crashed = pool.submit([] {
    std::fprintf(stderr, "the last words\n");
    ::raise(SIGKILL);
  });
  EXPECT_EQ(pool.submit(say, 7).get().value(), 7);
}

TEST_F(PoolShutdownTest, APoolMayBeMovedAndReplaced) {
  Pool pool{{.workers = 1}};
  Pool other = std::move(pool);
  EXPECT_EQ(other.submit(twice, 1).get().value(), 2);
  EXPECT_EQ(pool.submit(twice, 1).get().error().cause, Cause::not_started);  // NOLINT: moved from
  other = Pool{{.workers = 2}};
  EXPECT_EQ(other.submit(twice, 2).get().value(), 4);
}

}  // namespace
}  // namespace tine
