// SPDX-License-Identifier: MIT
#include "tine/pool.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <expected>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/process.h"
#include "work/pool_tasks.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;

struct PoolTest : PoolFixture {};
struct PoolNoAsanTest : PoolFixture {};

// ---- Workers ----

TEST_F(PoolTest, B116_TasksOneAfterTheOtherUseOneWorker) {
  Pool pool{{.workers = 4}};
  std::set<pid_t> pids;
  for (int i = 0; i < 50; ++i) pids.insert(pool.submit(own_pid).get().value());
  EXPECT_EQ(pids.size(), 1u);
  EXPECT_EQ(pool.stats().workers, 1);
}

TEST_F(PoolTest, B118_MoreWorkersThanCpusRunAtOnce) {
  const int count = 2 * static_cast<int>(usable_cpus()) + 2;
  Pool pool{{.workers = count}};
  std::vector<PoolFuture<pid_t>> futures;
  for (int i = 0; i < count; ++i) {
    futures.push_back(pool.submit(
        [](int all) {
          ++shared[kBegun];
          wait_for(kBegun, all);
          return ::getpid();
        },
        count));
  }
  const auto pids = values(futures);
  EXPECT_EQ(std::set(pids.begin(), pids.end()).size(), static_cast<std::size_t>(count));
}

TEST_F(PoolTest, LongTasksDoNotHoldUpShortOnesBehindThem) {
  Pool pool{{.workers = 2}};
  // Many short ones, so that several are taken at once; then one that waits for those behind it.
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 2000; ++i) futures.push_back(pool.submit(twice, i));
  auto long_one = pool.submit([] { wait_for(kCount, 100); });
  for (int i = 0; i < 100; ++i) (void)pool.submit([] { ++shared[kCount]; });
  EXPECT_TRUE(long_one.get());
}

int initialized = 0;

TEST_F(PoolTest, B035_InitializerRunsOncePerWorkerBeforeItsTasks) {
  Pool pool{{.workers = 2, .initializer = [] {
               ++shared[kCount];
               ++initialized;
             }}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 100; ++i) futures.push_back(pool.submit([] { return initialized; }));
  for (const int seen : values(futures)) EXPECT_EQ(seen, 1);
  // One may have been started when there was nothing left to do.
  EXPECT_TRUE(eventually([&] { return shared[kCount].load() == pool.stats().workers; }));
  EXPECT_EQ(initialized, 0);
}

TEST_F(PoolTest, B036_FailingInitializerBreaksFast) {
  Pool pool{{.workers = 2, .initializer = [] {
               ++shared[kCount];
               throw std::runtime_error("no model");
             }}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(twice, i));
  for (auto& future : futures) {
    const auto failed = future.get();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().cause, Cause::threw);
    EXPECT_NE(failed.error().message.find("no model"), std::string::npos);
  }
  EXPECT_FALSE(pool.submit(twice, 1).get());
  EXPECT_LE(shared[kCount].load(), 2);
}

TEST_F(PoolTest, B040_WorkersThatDieInTheirInitializerAreNotMadeForEver) {
  Pool pool{{.workers = 1, .initializer = [] {
               ++shared[kCount];
               ::raise(SIGKILL);
             }}};
  const auto failed = pool.submit(twice, 1).get();
  EXPECT_EQ(failed.error().cause, Cause::signaled);
  EXPECT_NE(failed.error().message.find("initializer"), std::string::npos);
  EXPECT_FALSE(pool.submit(twice, 1).get());
  EXPECT_EQ(shared[kCount].load(), 1);
}

TEST_F(PoolTest, B103_WorkersAreReplacedAfterSoManyTasks) {
  Pool pool{{.workers = 1, .recycle = {.after_tasks = 3}}};
  std::vector<PoolFuture<pid_t>> futures;
  for (int i = 0; i < 4; ++i) futures.push_back(pool.submit(own_pid));
  const auto pids = values(futures);
  EXPECT_EQ(pids[0], pids[1]);
  EXPECT_EQ(pids[1], pids[2]);
  EXPECT_NE(pids[2], pids[3]);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolTest, B104_BacklogAboveTheLimitOfTasksFinishes) {
  Pool pool{{.workers = 1, .recycle = {.after_tasks = 2}}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(twice, i));
  EXPECT_EQ(values(futures).size(), 10u);
}

TEST_F(PoolTest, B112_AgeIsNoAffairOfTheTasks) {
  Pool pool{{.workers = 2, .recycle = {.after_age = 1ms}}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back(pool.submit(twice, i));
  EXPECT_EQ(values(futures).size(), 200u);
}

TEST_F(PoolNoAsanTest, B107_WorkersThatHaveGrownAreReplaced) {
  Pool pool{{.workers = 1, .recycle = {.above_rss = std::size_t{96} << 20}}};
  std::set<pid_t> pids;
  for (int i = 0; i < 6; ++i) {
    pids.insert(pool.submit([] {
                      std::string* const kept = new std::string(std::size_t{64} << 20, 'x');
                      ::usleep(kept->empty() ? 0 : 3000);  // looks are milliseconds apart
                      return ::getpid();
                    })
                    .get()
                    .value());
  }
  EXPECT_GE(pids.size(), 2u);
}

TEST_F(PoolNoAsanTest, MemoryLimitIsOutOfMemoryOfItsTask) {
  Pool pool{{.memory = std::size_t{64} << 20, .workers = 1}};
  const auto failed =
      pool.submit([] { return std::string(std::size_t{256} << 20, 'x').size(); }).get();
  EXPECT_EQ(failed.error().cause, Cause::out_of_memory);
  EXPECT_EQ(pool.submit(twice, 1).get().value(), 2);
}

TEST_F(PoolTest, IdleWorkersEndAndOthersAreMadeWhenNeeded) {
  Pool pool{{.workers = 2, .idle_timeout = 1ms}};
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(pool.submit(twice, round).get().value(), 2 * round);
    EXPECT_TRUE(eventually([&] { return pool.stats().workers == 0; }));
  }
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolTest, B110_IdleTimeoutsBesideTasksLoseNothing) {
  Pool pool{{.workers = 2, .idle_timeout = 1us}};
  for (int i = 0; i < 300; ++i) ASSERT_EQ(pool.submit(twice, i).get().value(), 2 * i);
}

TEST_F(PoolTest, PrioritiesDecideWhoIsNext) {
  Pool pool{{.workers = 1}};
  auto first = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  const auto note = [](int who) { shared[10 + static_cast<std::size_t>(shared[kCount]++)] = who; };
  auto low = pool.submit({.priority = Priority::low}, note, 3);
  auto normal = pool.submit(note, 2);
  auto high = pool.submit({.priority = Priority::high}, note, 1);
  shared[kGate] = 1;
  EXPECT_TRUE(first.get() && low.get() && normal.get() && high.get());
  EXPECT_EQ(shared[10].load(), 1);
  EXPECT_EQ(shared[11].load(), 2);
  EXPECT_EQ(shared[12].load(), 3);
}

// ---- Limits of the queue ----

TEST_F(PoolTest, B129_FullQueueRefusesOrBlocks) {
  Pool pool{{.workers = 1, .max_queued = 2}};
  auto running = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  auto second = pool.submit(twice, 2);
  auto third = pool.submit(twice, 3);
  EXPECT_FALSE(pool.try_submit(twice, 4));
  EXPECT_EQ(pool.stats().queued, 2u);
  EXPECT_TRUE(second.cancel());
  EXPECT_EQ(pool.stats().queued, 1u);
  auto fourth = pool.try_submit(twice, 4);
  ASSERT_TRUE(fourth);
  EXPECT_FALSE(pool.try_submit(twice, 5));
  shared[kGate] = 1;
  auto fifth = pool.submit(twice, 5);  // blocks until there is room
  EXPECT_EQ(fifth.get().value(), 10);
  EXPECT_EQ(fourth->get().value(), 8);
  EXPECT_EQ(third.get().value(), 6);
  EXPECT_EQ(pool.stats().queued, 0u);
}

TEST_F(PoolTest, ABoundedQueueTakesAnyNumberOfTasks) {
  Pool pool{{.workers = 2, .max_queued = 3}};
  for (int i = 0; i < 5000; ++i) (void)pool.submit([] { ++shared[kCount]; });
  pool.shutdown();
  EXPECT_EQ(shared[kCount].load(), 5000);
}

// ---- Waiting ----

TEST_F(PoolTest, WaitingHasALimit) {
  Pool pool{{.workers = 1}};
  auto future = pool.submit(wait_at_gate);
  EXPECT_FALSE(future.ready());
  EXPECT_FALSE(future.wait_for(1ms));
  shared[kGate] = 1;
  EXPECT_TRUE(future.wait_for(10s));
  EXPECT_TRUE(future.ready());
  EXPECT_TRUE(future.get());
  const auto again = future.get().error();
  EXPECT_EQ(again.cause, Cause::lost);
  EXPECT_NE(again.to_string().find("get() has been called before"), std::string::npos);
}

TEST_F(PoolTest, OptionsThatMakeNoSenseAreRefused) {
  const auto why = [](const PoolOptions& options) { return Pool::start(options).error().hint; };
  EXPECT_EQ(why({.timeout = -1ms}), "timeout is negative");
  EXPECT_EQ(why({.workers = -1}), "workers is -1, less than 0");
  EXPECT_EQ(why({.memory_retries = -2}), "memory_retries is -2, less than -1");
  EXPECT_EQ(why({.idle_timeout = -1ms}), "idle_timeout is negative");
  Pool pool{{.workers = 1}};
  const auto late = pool.submit({.timeout = -1ms}, twice, 1).get().error();
  EXPECT_EQ(late.cause, Cause::not_started);
  EXPECT_EQ(late.error->hint, "timeout is negative");
  EXPECT_EQ(pool.submit({.retries = -2}, twice, 1).get().error().cause, Cause::not_started);
}

TEST_F(PoolTest, DescriptorsTellTheEndOfTheirOwnTask) {
  Pool pool{{.workers = 2}};
  auto done = pool.submit(twice, 1);
  ASSERT_TRUE(done.wait_for(10s));
  auto slow = pool.submit(wait_at_gate);
  pollfd watched[2] = {{done.fd(), POLLIN, 0}, {slow.fd(), POLLIN, 0}};
  EXPECT_EQ(::poll(watched, 2, 10'000), 1);
  EXPECT_NE(watched[0].revents, 0);
  EXPECT_EQ(::poll(&watched[1], 1, 1), 0);
  shared[kGate] = 1;
  EXPECT_EQ(::poll(&watched[1], 1, 10'000), 1);
  EXPECT_TRUE(slow.get());
  auto doomed = pool.submit(hang);
  pollfd end{doomed.fd(), POLLIN, 0};
  wait_for(kBegun, 2);
  EXPECT_TRUE(doomed.cancel());
  EXPECT_EQ(::poll(&end, 1, 10'000), 1);
  EXPECT_TRUE(done.get());
}

// ---- Size ----

TEST_F(PoolTest, B113_ResizeKeepsHealthyWorkers) {
  Pool pool{{.workers = 2}};
  auto first = pool.submit(wait_at_gate);
  auto second = pool.submit(wait_at_gate);
  wait_for(kBegun, 2);
  ASSERT_TRUE(pool.resize(1));
  shared[kGate] = 1;
  const std::set<pid_t> before{first.get().value(), second.get().value()};
  EXPECT_TRUE(eventually([&] { return pool.stats().workers == 1; }));
  const pid_t kept = pool.submit(own_pid).get().value();
  EXPECT_TRUE(before.contains(kept));
  ASSERT_TRUE(pool.resize(1));
  EXPECT_EQ(pool.submit(own_pid).get().value(), kept);
  ASSERT_TRUE(pool.resize(2));
  EXPECT_EQ(pool.submit(own_pid).get().value(), kept);
  EXPECT_EQ(pool.stats().deaths, 0u);
  EXPECT_FALSE(pool.resize(0));
}

TEST_F(PoolTest, B113_APoolThatGrowsWhileItsOnlyWorkerIsBusyHasAnother) {
  Pool pool{{.workers = 1}};
  auto busy = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  auto quick = pool.submit(twice, 4);
  ASSERT_TRUE(pool.resize(2));
  EXPECT_EQ(quick.get().value(), 8);
  shared[kGate] = 1;
  EXPECT_TRUE(busy.get());
}

TEST_F(PoolTest, MoreCpusThanAPoolCanHaveWorkersAreNoMisfortune) {
  ::setenv("TINE_WORKERS", "1000", 1);
  Pool pool;
  EXPECT_EQ(pool.submit(twice, 4).get().value(), 8);
  ::unsetenv("TINE_WORKERS");
  EXPECT_EQ(Pool({.workers = 513}).submit(twice, 4).get().error().error->kind,
            ErrorKind::invalid_argument);
}

TEST_F(PoolTest, B114_ResizedManyTimesLosesNothing) {
  Pool pool{{.workers = 2}};
  std::vector<PoolFuture<int>> futures;
  for (const int workers : {12, 2, 1, 12, 6, 1, 8, 5}) {
    ASSERT_TRUE(pool.resize(workers));
    for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(twice, i));
  }
  EXPECT_EQ(values(futures).size(), 400u);
}

// ---- Map ----

TEST_F(PoolTest, B024_B120_B121_AMapHasOneResultPerInputInOrder) {
  Pool pool{{.workers = 2}};
  std::vector<int> inputs(1000);
  std::iota(inputs.begin(), inputs.end(), 0);
  const auto results = pool.map(inputs, [](int n) {
    if (n == 500) ::raise(SIGKILL);
    if (n == 501) throw std::runtime_error("no");
    return std::to_string(n);
  });
  ASSERT_EQ(results.size(), 1000u);
  for (std::size_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(results[i].has_value(), i != 500 && i != 501) << i;
    ASSERT_EQ(results[i] ? *results[i] : "", results[i] ? std::to_string(i) : "");
  }
  EXPECT_EQ(results[500].error().cause, Cause::signaled);
  EXPECT_TRUE(pool.map(std::vector<int>{}, twice).empty());
  EXPECT_TRUE(pool.map(inputs, [](int) {}).all_succeeded());
}

// ---- Nested ----

TEST_F(PoolTest, B154_APoolInAWorker) {
  Pool pool{{.workers = 2}};
  const auto inner = [](int n) {
    Pool mine;
    return mine.submit(twice, n).get().value() + 1;
  };
  auto a = pool.submit(inner, 10);
  auto b = pool.submit(inner, 20);
  const auto first = a.get();
  ASSERT_TRUE(first) << first.error().to_string();
  EXPECT_EQ(*first, 21);
  EXPECT_EQ(b.get().value(), 41);
}

}  // namespace
}  // namespace tine
