// SPDX-License-Identifier: MIT
#include <signal.h>
#include <unistd.h>

#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pool.h"
#include "work/pool_tasks.h"
#include "work/pool_worker.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;
using work::PoolStep;

struct PoolRetriesTest : PoolFixture {};
struct PoolNoAsanRetriesTest : PoolFixture {};

/// How an attempt goes; the first `kOther` attempts at it fail like that.
enum How : int { kFine, kThrow, kKill, kExit, kRunOut };

int fail_at_first(int how) {
  const int attempt = ++shared[kCount];
  if (attempt > shared[kOther]) return attempt;
  if (how == kThrow) throw std::runtime_error("attempt " + std::to_string(attempt));
  if (how == kKill) ::raise(SIGKILL);
  if (how == kExit) ::_exit(3);
  if (how == kRunOut) throw std::bad_alloc{};
  return attempt;
}

/// Beyond `kOther` attempts it would succeed.
void begin(int failures) {
  shared[kCount] = 0;
  shared[kOther] = failures;
}

// ---- Who runs the next attempt ----

TEST_F(PoolRetriesTest, B060_AttemptsGoToOtherWorkers) {
  Pool pool{{.workers = 2, .retries = 1000, .retry_delay = [](int) {
               return std::chrono::nanoseconds(1ms);
             }}};
  shared[kPid] = pool.submit(own_pid).get().value();
  const auto elsewhere = [] {
    if (::getpid() == shared[kPid]) throw std::runtime_error("not here");
    return ::getpid();
  };
  std::vector<PoolFuture<pid_t>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(elsewhere));
  for (const pid_t pid : values(futures)) EXPECT_NE(pid, shared[kPid].load());
}

TEST_F(PoolRetriesTest, B060_WhatFailsAtOneWorkerIsTriedAtAnotherAtOnce) {
  Pool pool{{.workers = 2, .retries = 1}};
  const auto two_pids = [] {
    if (++shared[kCount] == 1) {
      shared[kPid] = ::getpid();
      throw 1;
    }
    return ::getpid();
  };
  for (int i = 0; i < 20; ++i) {
    shared[kCount] = 0;
    const pid_t second = pool.submit(two_pids).get().value();
    EXPECT_NE(second, shared[kPid].load());
  }
  EXPECT_EQ(pool.stats().workers, 2);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolRetriesTest, B060_TheOnlyWorkerTriesAgainItself) {
  Pool pool{{.workers = 1, .retries = 3}};
  begin(3);
  EXPECT_EQ(pool.submit(fail_at_first, kThrow).get().value(), 4);
  EXPECT_EQ(pool.stats().workers, 1);
}

TEST_F(PoolRetriesTest, B060_OthersAreRunDuringThePause) {
  Pool pool{{.workers = 1, .retries = 1, .retry_delay = [](int) {
               return std::chrono::nanoseconds(20ms);
             }}};
  begin(1);
  auto late = pool.submit(fail_at_first, kThrow);
  wait_for(kCount, 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit(twice, i).get().value(), 2 * i);
  EXPECT_EQ(late.get().value(), 2);
}

TEST_F(PoolRetriesTest, B060_PausesAreAskedForEachAttempt) {
  for (const int how : {kThrow, kKill}) {
    shared[kBegun] = 0;
    begin(3);
    Pool pool{{.workers = 2, .retries = 3, .retry_delay = [](int attempt) {
                 shared[kBegun] = 10 * shared[kBegun] + attempt;
                 return std::chrono::nanoseconds(1ms);
               }}};
    EXPECT_EQ(pool.submit(fail_at_first, how).get().value(), 4);
    EXPECT_EQ(shared[kBegun].load(), 234);
  }
}

TEST_F(PoolRetriesTest, ManyFailuresAllHaveTheirAttempts) {
  Pool pool{{.workers = 3, .retries = 2}};
  const auto third_time = [](int n) {
    if (++shared[10 + static_cast<std::size_t>(n)] < 3) throw n;
    return n;
  };
  std::vector<PoolFuture<int>> futures;
  for (int n = 0; n < 50; ++n) futures.push_back(pool.submit(third_time, n));
  EXPECT_EQ(values(futures).size(), 50u);
  EXPECT_EQ(pool.stats().queued, 0u);
  EXPECT_EQ(pool.stats().done, 50u);
  EXPECT_EQ(pool.stats().failed, 0u);
}

TEST_F(PoolRetriesTest, ThousandsOfFailuresAtOnceLoseNothing) {
  Pool pool{{.workers = 2, .retries = 1, .retry_delay = [](int) {
               return std::chrono::nanoseconds(100us);
             }}};
  std::vector<PoolFuture<void>> futures;
  for (int n = 0; n < 5000; ++n) {
    futures.push_back(pool.submit([] {
      ++shared[kCount];
      throw 1;
    }));
  }
  for (auto& future : futures) ASSERT_EQ(future.get().error().attempts, 2);
  EXPECT_EQ(shared[kCount].load(), 10'000);
  EXPECT_EQ(pool.stats().failed, 5000u);
}

TEST_F(PoolRetriesTest, WorkersThatDieBetweenTheAttemptsOfOthersLoseNothing) {
  Pool pool{{.workers = 3, .retries = 40}};
  std::vector<PoolFuture<int>> futures;
  for (int n = 0; n < 200; ++n) {
    futures.push_back(pool.submit(
        [](int of) {
          const int roll = ++shared[kCount];
          if (roll % 5 == 0) ::raise(SIGKILL);
          if (roll % 3 == 0) throw of;
          return of;
        },
        n));
  }
  EXPECT_EQ(values(futures).size(), 200u);
}

TEST_F(PoolRetriesTest, B174_KilledWhileItHandsATaskBackAWorkerLosesNothing) {
  for (const auto step : {PoolStep::said_delayed, PoolStep::handed_back, PoolStep::named_task,
                          PoolStep::calling_keeper}) {
    for (const int turn : {1, 2, 5}) {
      for (auto& number : shared) number = 0;
      const DeadlyStep deadly(step, turn);
      Pool pool{{.workers = 2, .retries = 2}};
      std::vector<PoolFuture<int>> futures;
      for (int i = 0; i < 50; ++i) {
        futures.push_back(pool.submit(
            [](int n) {
              if (++shared[10 + static_cast<std::size_t>(n)] < 3) throw n;
              return n;
            },
            i));
      }
      EXPECT_EQ(values(futures).size(), 50u) << static_cast<int>(step) << ", turn " << turn;
      EXPECT_EQ(pool.stats().queued, 0u);
    }
  }
}

// ---- Who decides ----

TEST_F(PoolRetriesTest, B061_PredicateDecidesWhatIsTriedAgain) {
  Pool pool{{.workers = 2, .retries = 5, .retry_if = [](const Failure& failure) {
               return failure.message != "attempt 2" && failure.cause != Cause::exited;
             }}};
  begin(9);
  const auto thrown = pool.submit(fail_at_first, kThrow).get();
  EXPECT_EQ(thrown.error().message, "attempt 2");
  EXPECT_EQ(thrown.error().attempts, 2);
  begin(9);
  const auto exited = pool.submit(fail_at_first, kExit).get();
  EXPECT_EQ(exited.error().cause, Cause::exited);
  EXPECT_EQ(exited.error().status.value().code(), 3);
  EXPECT_EQ(exited.error().attempts, 1);
  begin(3);
  EXPECT_EQ(pool.submit(fail_at_first, kKill).get().value(), 4);
}

TEST_F(PoolRetriesTest, B061_PredicateSeesTheDeathOfTheTask) {
  Pool pool{{.workers = 1, .retries = 1, .retry_if = [](const Failure& failure) {
               shared[kPid] = failure.status.value().signal().value_or(0);
               shared[kBegun] = failure.attempts;
               return failure.stderr_tail == "last\n";
             }}};
  testing::internal::CaptureStderr();
  EXPECT_EQ(pool.submit([] {
                  if (++shared[kCount] > 1) return true;
                  ::write(STDERR_FILENO, "last\n", 5);
                  ::raise(SIGKILL);
                  return false;
                })
                .get()
                .value(),
            true);
  pool.shutdown();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(shared[kPid].load(), SIGKILL);
  EXPECT_EQ(shared[kBegun].load(), 1);
}

TEST_F(PoolRetriesTest, B061_TasksHaveRulesOfTheirOwn) {
  Pool pool{{.workers = 1, .retries = 2, .retry_if = [](const Failure&) { return false; }}};
  begin(2);
  EXPECT_EQ(pool.submit(fail_at_first, kThrow).get().error().attempts, 1);
  begin(2);
  EXPECT_EQ(pool.submit({.retry_if = [](const Failure&) { return true; }}, fail_at_first, kThrow)
                .get()
                .value(),
            3);
}

TEST_F(PoolRetriesTest, B061_PredicateThatThrowsOrCrashesEndsTheAttempts) {
  Pool pool{{.workers = 2, .retries = 5}};
  begin(9);
  const auto thrown =
      pool.submit({.retry_if = [](const Failure&) -> bool { throw std::logic_error("undecided"); }},
                  fail_at_first, kThrow)
          .get();
  EXPECT_EQ(thrown.error().message, "undecided");
  for (const int how : {kThrow, kKill}) {
    begin(9);
    const auto crashed = pool.submit({.retry_if =
                                          [](const Failure&) {
                                            ::raise(SIGKILL);
                                            return true;
                                          }},
                                     fail_at_first, how)
                             .get();
    EXPECT_EQ(crashed.error().cause, Cause::signaled);
    EXPECT_NE(crashed.error().message.find("decided"), std::string::npos);
    EXPECT_EQ(shared[kCount].load(), 1);
  }
  EXPECT_TRUE(pool.submit(nothing).get());
}

TEST_F(PoolRetriesTest, B061_PredicateThatHangsMeetsTheTimeLimitOfTheTask) {
  Pool pool{{.timeout = 30ms, .workers = 1, .retries = 5, .retry_if = [](const Failure&) {
               hang();
               return true;
             }}};
  for (const int how : {kThrow, kKill}) {
    begin(9);
    EXPECT_EQ(pool.submit(fail_at_first, how).get().error().cause, Cause::timed_out);
  }
}

// ---- How many attempts ----

TEST_F(PoolRetriesTest, B178_MemoryHasABudgetOfItsOwn) {
  Pool pool{{.workers = 2, .retries = 0, .memory_retries = 2}};
  begin(2);
  EXPECT_EQ(pool.submit(fail_at_first, kRunOut).get().value(), 3);
  begin(9);
  const auto failed = pool.submit(fail_at_first, kRunOut).get();
  EXPECT_EQ(failed.error().cause, Cause::out_of_memory);
  EXPECT_EQ(failed.error().attempts, 3);
  begin(9);
  EXPECT_EQ(pool.submit(fail_at_first, kThrow).get().error().attempts, 1);
}

TEST_F(PoolRetriesTest, B178_BothBudgetsAreUsedUpOneByOne) {
  Pool pool{{.workers = 1, .retries = 1, .memory_retries = 2}};
  const auto in_turn = [] {
    const int attempt = ++shared[kCount];
    if (attempt == 1 || attempt == 3) throw std::bad_alloc{};
    if (attempt == 2) throw 2;
    return attempt;
  };
  EXPECT_EQ(pool.submit(in_turn).get().value(), 4);
}

TEST_F(PoolRetriesTest, B178_WithoutOneTheyAreAmongAllOthers) {
  Pool pool{{.workers = 1, .retries = 1}};
  begin(9);
  EXPECT_EQ(pool.submit(fail_at_first, kRunOut).get().error().attempts, 2);
}

TEST_F(PoolNoAsanRetriesTest, B178_MemoryLimitCountsAgainstIt) {
  Pool pool{{.memory = std::size_t{64} << 20, .workers = 1, .retries = 0, .memory_retries = 2}};
  EXPECT_EQ(pool.submit([] {
                  const bool large = ++shared[kCount] < 3;
                  return std::string(large ? std::size_t{256} << 20 : 10, 'x').size();
                })
                .get()
                .value(),
            10u);
}

TEST_F(PoolRetriesTest, B065_PlannedEndsOfWorkersAreNoFailures) {
  Pool pool{{.workers = 3, .crash_retries = 0, .recycle = {.after_tasks = 2}}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 60; ++i) {
    futures.push_back(pool.submit(twice, i));
    if (i % 10 == 0) {
      ASSERT_TRUE(pool.resize(1 + i % 3));
    }
  }
  EXPECT_EQ(values(futures).size(), 60u);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolRetriesTest, B142_CrashInATaskCostsNoneOfThoseThatWereTakenWithIt) {
  Pool pool{{.workers = 1}};
  for (int i = 0; i < 2000; ++i) (void)pool.submit(nothing);  // so that several are taken at once
  auto first = pool.submit(wait_at_gate);
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 100; ++i) {
    futures.push_back(pool.submit(
        [](int n) {
          ++shared[kCount];
          if (n % 10 == 3) ::raise(SIGKILL);
          if (n % 10 == 5) throw n;
          return n;
        },
        i));
  }
  shared[kGate] = 1;
  EXPECT_TRUE(first.get());
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(futures[static_cast<std::size_t>(i)].get().has_value(), i % 10 != 3 && i % 10 != 5);
  }
  EXPECT_EQ(shared[kCount].load(), 100);
}

// ---- While they wait ----

/// Waits for its next attempt, which would be in an hour.
TaskOptions much_later() {
  return {.retries = 1, .retry_delay = [](int) { return std::chrono::nanoseconds(1h); }};
}

TEST_F(PoolRetriesTest, B049_CancelledDuringThePauseItIsNotTriedAgain) {
  Pool pool{{.workers = 1}};
  begin(9);
  for (const int how : {kThrow, kKill, kThrow}) {
    const int before = shared[kCount].load();
    auto waiting = pool.submit(much_later(), fail_at_first, how);
    wait_for(kCount, before + 1);
    EXPECT_TRUE(pool.submit(nothing).get());
    EXPECT_TRUE(waiting.cancel());
    EXPECT_EQ(waiting.get().error().cause, Cause::cancelled);
    EXPECT_EQ(shared[kCount].load(), before + 1);
  }
  EXPECT_EQ(pool.stats().queued, 0u);
}

TEST_F(PoolRetriesTest, PausedTasksAreAmongThoseThatWait) {
  Pool pool{{.workers = 1}};
  begin(9);
  auto waiting = pool.submit(much_later(), fail_at_first, kThrow);
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 0 && shared[kCount].load() == 1; }));
  EXPECT_EQ(pool.stats().queued, 1u);
  EXPECT_EQ(pool.stats().done, 0u);
  EXPECT_FALSE(waiting.ready());
  EXPECT_TRUE(waiting.cancel());
  EXPECT_EQ(pool.stats().queued, 0u);
}

TEST_F(PoolRetriesTest, B069_ShutdownWaitsForTheNextAttempt) {
  begin(2);
  Pool pool{{.workers = 2, .retries = 2, .retry_delay = [](int) {
               return std::chrono::nanoseconds(5ms);
             }}};
  auto later = pool.submit(fail_at_first, kThrow);
  pool.shutdown();
  EXPECT_EQ(later.get().value(), 3);
}

TEST_F(PoolRetriesTest, B070_KilledPoolsTryNothingAgain) {
  begin(9);
  Pool pool{{.workers = 2}};
  auto paused = pool.submit(much_later(), fail_at_first, kThrow);
  wait_for(kCount, 1);
  auto running = pool.submit({.retries = 5}, hang);
  wait_for(kBegun, 1);
  pool.shutdown(Drain::no);
  EXPECT_EQ(paused.get().error().cause, Cause::cancelled);
  EXPECT_EQ(running.get().error().cause, Cause::cancelled);
  EXPECT_EQ(shared[kBegun].load(), 1);
}

TEST_F(PoolRetriesTest, B073_ShutdownDoesNotWaitForACancelledPause) {
  begin(9);
  Pool pool{{.workers = 1, .shutdown_grace = 1h}};
  auto paused = pool.submit(much_later(), fail_at_first, kThrow);
  wait_for(kCount, 1);
  EXPECT_TRUE(paused.cancel());
  pool.shutdown();
}

}  // namespace
}  // namespace tine
