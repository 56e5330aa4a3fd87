// SPDX-License-Identifier: MIT
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pool.h"
#include "tine/process.h"
#include "work/pool_tasks.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;

struct PoolThreadsTest : PoolFixture {};

/// Threads of this process, which are joined.
template <class Body>
void in_threads(int count, const Body& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (auto& thread : threads) thread.join();
}

TEST_F(PoolThreadsTest, ThreadsAreRefusedUnlessAllowed) {
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) ::sched_yield();
  });
  Pool refused{{.workers = 1}};
  const auto failed = refused.submit(twice, 1).get();
  const auto error = Pool::start({.workers = 1});
  Pool allowed{{.workers = 1, .threads = ThreadPolicy::allow}};
  const auto fine = allowed.submit(twice, 1).get();
  over = true;
  other.join();
  EXPECT_EQ(failed.error().cause, Cause::not_started);
  EXPECT_EQ(failed.error().error.value().kind, ErrorKind::threads_running);
  EXPECT_EQ(error.error().kind, ErrorKind::threads_running);
  EXPECT_EQ(fine.value(), 2);
}

TEST_F(PoolThreadsTest, B153_WorkersAreMadeAndReplacedBesideLaterThreads) {
  Pool pool{{.workers = 2}};
  std::atomic<bool> over{false};
  std::mutex log;
  std::thread other([&] {
    while (!over) {
      const std::lock_guard lock(log);
      std::string text(1000, 'x');
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(pool.submit([] { ::raise(SIGKILL); }).get());
    EXPECT_EQ(pool.submit([](int n) { return std::string(static_cast<std::size_t>(n), 'a'); }, 1000)
                  .get()
                  .value()
                  .size(),
              1000u);
  }
  over = true;
  other.join();
}

TEST_F(PoolThreadsTest, B150_TenThreadsSubmitCancelAndWait) {
  Pool pool{{.workers = 3}};
  std::atomic<int> wrong{0};
  in_threads(10, [&](int thread) {
    for (int round = 0; round < 20; ++round) {
      std::vector<PoolFuture<int>> futures;
      for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(twice, 1000 * thread + i));
      for (std::size_t i = 0; i < 20; i += 2) futures[i].cancel();
      for (int i = 0; i < 20; ++i) {
        const auto result = futures[static_cast<std::size_t>(i)].get();
        if (result ? *result != 2 * (1000 * thread + i)
                   : i % 2 == 1 && result.error().cause != Cause::signaled) {
          ++wrong;
        }
      }
    }
  });
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_TRUE(pool.submit(nothing).get());
}

TEST_F(PoolThreadsTest, ManyThreadsAtABoundedQueue) {
  Pool pool{{.workers = 2, .max_queued = 4}};
  in_threads(8, [&](int) {
    for (int i = 0; i < 200; ++i) (void)pool.submit([] { ++shared[kCount]; });
  });
  pool.shutdown();
  EXPECT_EQ(shared[kCount].load(), 1600);
}

TEST_F(PoolThreadsTest, ShutdownWakesWhoWaitsForRoomOrForAResult) {
  Pool pool{{.workers = 1, .max_queued = 1}};
  auto running = pool.submit(hang);
  wait_for(kBegun, 1);
  auto queued = pool.submit(nothing);
  std::thread waiting([&] { EXPECT_EQ(running.get().error().cause, Cause::cancelled); });
  std::thread blocked([&] {
    shared[kOther] = 1;
    EXPECT_EQ(pool.submit(nothing).get().error().cause, Cause::not_started);
  });
  wait_for(kOther, 1);
  pool.shutdown(Drain::no);
  waiting.join();
  blocked.join();
  EXPECT_EQ(queued.get().error().cause, Cause::cancelled);
}

TEST_F(PoolThreadsTest, CancelBesideAWait) {
  Pool pool{{.workers = 1}};
  auto running = pool.submit(hang);
  wait_for(kBegun, 1);
  std::thread other([&] { running.cancel(); });
  EXPECT_TRUE(running.wait_for(10s));
  other.join();
  EXPECT_EQ(running.get().error().cause, Cause::cancelled);
}

TEST_F(PoolThreadsTest, KilledKeeperWakesAllWhoWait) {
  Pool pool{{.workers = 2}};
  const pid_t worker = pool.submit(own_pid).get().value();
  const pid_t keeper = process_info(worker).value().parent;
  std::atomic<int> lost{0};
  in_threads(4, [&](int thread) {
    auto future = pool.submit(hang);
    if (thread == 0) {
      wait_for(kBegun, 2);
      ::kill(keeper, SIGKILL);
    }
    const auto result = future.get();
    // Those that came later may have been refused.
    if (!result &&
        (result.error().cause == Cause::lost || result.error().cause == Cause::not_started))
      ++lost;
  });
  EXPECT_EQ(lost.load(), 4);
}

TEST_F(PoolThreadsTest, B096_AllWhoWaitGoOnWithTheNextKeeper) {
  Pool pool{{.workers = 1, .threads = ThreadPolicy::allow}};
  auto running = pool.submit([] {
    shared[kPid] = ::getppid();
    hang();
  });
  wait_for(kBegun, 1);
  std::atomic<int> fine{0};
  in_threads(6, [&](int thread) {
    auto future = pool.submit(
        [](int n) {
          ++shared[kCount];
          return n;
        },
        thread);
    if (++shared[kOther] == 6) ::kill(shared[kPid], SIGKILL);
    if (thread % 2 == 0) (void)future.wait_for(10s);
    if (const auto value = future.get(); value && *value == thread) ++fine;
  });
  EXPECT_EQ(fine.load(), 6);
  EXPECT_EQ(shared[kCount].load(), 6);
  EXPECT_EQ(running.get().error().cause, Cause::lost);
}

TEST_F(PoolThreadsTest, B036_WhoWaitsForRoomLearnsThatTheInitializerFailed) {
  Pool pool{{.workers = 1, .max_queued = 1, .initializer = [] {
               wait_for(kGate, 1);
               throw 1;
             }}};
  auto queued = pool.submit(nothing);
  std::thread blocked([&] {
    shared[kOther] = 1;
    EXPECT_EQ(pool.submit(nothing).get().error().cause, Cause::threw);
  });
  wait_for(kOther, 1);
  shared[kGate] = 1;
  blocked.join();
  EXPECT_FALSE(queued.get());
}

TEST_F(PoolThreadsTest, B129_ACancelMakesRoom) {
  Pool pool{{.workers = 1, .max_queued = 1}};
  auto running = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  auto queued = pool.submit(nothing);
  std::thread blocked([&] {
    shared[kOther] = 1;
    auto next = pool.submit(twice, 4);
    shared[kGate] = 1;
    EXPECT_EQ(next.get().value(), 8);
  });
  wait_for(kOther, 1);
  EXPECT_TRUE(queued.cancel());
  blocked.join();
  EXPECT_TRUE(running.get());
}

TEST_F(PoolThreadsTest, B150_AttemptsOfManyThreadsBesideCancels) {
  Pool pool{{.workers = 3, .retries = 3, .retry_delay = [](int attempt) {
               return std::chrono::nanoseconds(attempt * 50us);
             }}};
  std::atomic<int> wrong{0};
  in_threads(6, [&](int) {
    std::vector<PoolFuture<int>> futures;
    for (int i = 0; i < 150; ++i) {
      futures.push_back(pool.submit(
          [](int n) {
            const int roll = ++shared[kCount];
            if (roll % 2 == 0) throw n;
            if (roll % 31 == 0) ::raise(SIGKILL);
            return n;
          },
          i));
      if (i % 3 == 0) futures[static_cast<std::size_t>(i / 2)].cancel();
    }
    for (int i = 0; i < 150; ++i) {
      const auto result = futures[static_cast<std::size_t>(i)].get();
      const bool gave_up = !result && result.error().cause != Cause::cancelled;
      if ((result && *result != i) || (gave_up && result.error().attempts != 4)) ++wrong;
    }
  });
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(pool.stats().queued, 0u);
}

TEST_F(PoolThreadsTest, B092_PoolOfAThreadThatHasEnded) {
  std::optional<Pool> pool;
  std::thread maker(
      [&] { pool.emplace(PoolOptions{.workers = 1, .threads = ThreadPolicy::allow}); });
  maker.join();
  EXPECT_EQ(pool->submit(twice, 1).get().value(), 2);
}

}  // namespace
}  // namespace tine
