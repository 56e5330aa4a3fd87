// SPDX-License-Identifier: MIT
//
// What a pool keeps count of, when workers die at the worst moments and queues come round.

#include <signal.h>
#include <sys/resource.h>

#include <cstdint>
#include <fstream>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pool.h"
#include "work/pool_memory.h"
#include "work/pool_tasks.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;
using work::PoolStep;

struct PoolUpkeepTest : PoolFixture {};
struct PoolUpkeepNoAsanTest : PoolFixture {};

// ---- Deaths ----

TEST_F(PoolUpkeepTest, B174_WhoDiesWithATaskJustTakenLeavesItsRoom) {
  for (const std::size_t room : {1u, 3u, 0u}) {
    const DeadlyStep deadly(PoolStep::took_task);
    Pool pool{{.workers = 2, .max_queued = room}};
    for (int death = 0; death < 6; ++death) {
      shared[kUntilDeath] = 1;
      EXPECT_EQ(pool.submit(twice, 1).get().error().cause, Cause::signaled);
    }
    EXPECT_EQ(pool.submit(twice, 4).get().value(), 8);
    EXPECT_EQ(pool.stats().queued, 0u);
    EXPECT_EQ(pool.stats().done, 7u);
  }
}

TEST_F(PoolUpkeepTest, AnyNumberOfIdleWorkersMayBeKilled) {
  constexpr int kWorkers = 20;
  Pool pool{{.workers = kWorkers}};
  std::vector<PoolFuture<pid_t>> waiting;
  for (int i = 0; i < kWorkers; ++i) waiting.push_back(pool.submit(wait_at_gate));
  wait_for(kBegun, kWorkers);
  shared[kGate] = 1;
  const auto pids = values(waiting);
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return pool.stats().workers == 0; }));
  EXPECT_EQ(pool.stats().deaths, std::size_t{kWorkers});
  EXPECT_EQ(pool.submit(twice, 4).get().value(), 8);
}

// ---- Queues that come round ----

/// A limit on address space makes queues small: then they soon begin anew.
struct SmallQueues {
  SmallQueues() {
    ::getrlimit(RLIMIT_AS, &before);
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlimit limit{pages * 4096 + (rlim_t{128} << 20), before.rlim_max};
    ::setrlimit(RLIMIT_AS, &limit);
  }
  ~SmallQueues() { ::setrlimit(RLIMIT_AS, &before); }
  rlimit before{};
};

TEST_F(PoolUpkeepNoAsanTest, QueuesBeginAnewAndLoseNothing) {
  const SmallQueues limit;
  Pool pool{{.workers = 2}};
  // The same slot in all places, and then many at once.
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(pool.submit(twice, i).get().value(), 2 * i);
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 800; ++i) futures.push_back(pool.submit(twice, i));
  for (int i = 0; i < 4200; ++i) {
    ASSERT_EQ(futures[static_cast<std::size_t>(i % 800)].get().value(), 2 * i);
    futures[static_cast<std::size_t>(i % 800)] = pool.submit(twice, i + 800);
  }
}

TEST_F(PoolUpkeepTest, ASlotMayFollowItselfInItsPlace) {
  auto made = work::PoolMemory::create(2, work::PoolMemory::Reach::copies);
  ASSERT_TRUE(made);
  work::PoolMemory& memory = **made;
  ASSERT_EQ(memory.provide_slots(0, 16), 0);
  work::TaskSlot& task = memory.slots()[0];
  task.word.store(work::TaskWord{.state = work::TaskState::queued}.pack());
  const std::uint64_t lap = memory.capacity(work::kNormal);
  for (std::uint64_t i = 0; i <= 2 * lap; ++i) ASSERT_TRUE(memory.put(work::kNormal, 0)) << i;
}

TEST_F(PoolUpkeepNoAsanTest, WhoWaitsForRoomHasItWhenTheQueueIsCancelled) {
  const SmallQueues limit;
  Pool pool{{.workers = 1}};
  auto running = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  std::vector<PoolFuture<int>> queued;
  while (auto future = pool.try_submit(twice, 1)) queued.push_back(std::move(*future));
  ASSERT_GT(queued.size(), 100u);
  for (auto& future : queued) EXPECT_TRUE(future.cancel());
  auto late = std::async(std::launch::async, [&] { return pool.submit(twice, 4).get().value(); });
  shared[kGate] = 1;
  EXPECT_EQ(late.get(), 8);
}

// ---- Maps that end early ----

/// KiB of shared memory that this process has touched.
long touched_shared_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssShmem:")) return std::stol(line.substr(9));
  }
  return -1;
}

TEST_F(PoolUpkeepTest, AMapThatIsLeftByAnExceptionLeavesNoResultsBehind) {
  Pool pool{{.workers = 2}};
  const auto text_or_throw = [](int n) {
    if (n == 500) throw std::runtime_error("no");
    return std::string(1000, 'x');
  };
  const auto asks = [](const Failure&) -> bool { throw std::logic_error("from retry_if"); };
  std::optional<long> before;
  for (int round = 0; round < 30; ++round) {
    EXPECT_THROW((void)pool.map(numbers(1000), text_or_throw, {.retries = 1, .retry_if = asks}),
                 std::logic_error);
    if (round == 4) before = touched_shared_memory();
  }
  EXPECT_LT(touched_shared_memory(), *before + 8 * 1024);
  EXPECT_TRUE(pool.map(numbers(10), twice).all_succeeded());
}

}  // namespace
}  // namespace tine
