// SPDX-License-Identifier: MIT
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pool.h"
#include "tine/process.h"
#include "work/pool_tasks.h"
#include "work/pool_worker.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;
using work::PoolStep;

struct PoolFaultsTest : PoolFixture {};
struct PoolNoAsanFaultsTest : PoolFixture {};

// ---- Workers that die ----

TEST_F(PoolFaultsTest, B018_WorkerKilledWhileIdleCostsNothing) {
  Pool pool{{.workers = 1}};
  for (int i = 0; i < 5; ++i) {
    const pid_t idle = pool.submit(own_pid).get().value();
    ::kill(idle, SIGKILL);
    const auto next = pool.submit(own_pid).get();
    // The signal may have found it at this very task.
    if (next && *next == idle) continue;
    if (!next) {
      EXPECT_EQ(next.error().cause, Cause::signaled);
    }
    EXPECT_TRUE(eventually([&] { return !is_running(idle); }));
  }
  EXPECT_TRUE(pool.submit(nothing).get());
}

TEST_F(PoolFaultsTest, IdleDeathIsSeenAndCountedWithoutATask) {
  Pool pool{{.workers = 1}};
  ::kill(pool.submit(own_pid).get().value(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return pool.stats().deaths == 1 && pool.stats().workers == 0; }));
  EXPECT_TRUE(pool.submit(nothing).get());
}

TEST_F(PoolFaultsTest, B026_EachFourthOfSixteenCrashes) {
  Pool pool{{.workers = 4}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 16; ++i) {
    futures.push_back(pool.submit(
        [](int n) {
          if (n % 4 == 3) std::abort();
          return n;
        },
        i));
  }
  for (int i = 0; i < 16; ++i) {
    const auto result = futures[static_cast<std::size_t>(i)].get();
    ASSERT_EQ(result.has_value(), i % 4 != 3) << i;
    if (!result) {
      EXPECT_EQ(result.error().status.value().signal(), SIGABRT);
    }
  }
  EXPECT_EQ(pool.stats().deaths, 4u);
  EXPECT_EQ(pool.stats().failed, 4u);
}

TEST_F(PoolFaultsTest, B008_ExitInATaskIsAFailure) {
  Pool pool{{.workers = 1}};
  for (const int code : {0, 3}) {
    const auto failed = pool.submit([](int with) { ::exit(with); }, code).get();
    EXPECT_EQ(failed.error().cause, Cause::exited);
    EXPECT_EQ(failed.error().status.value().code(), code);
    EXPECT_NE(failed.error().message.find("exit"), std::string::npos);
  }
}

TEST_F(PoolFaultsTest, B019_LargeArgumentsOfTasksThatCrash) {
  Pool pool{{.workers = 2}};
  const std::string large(std::size_t{1} << 20, 'x');
  std::vector<PoolFuture<std::size_t>> futures;
  for (int i = 0; i < 20; ++i) {
    futures.push_back(pool.submit(
        [](const std::string& text, int n) {
          if (n % 5 == 0) ::raise(SIGKILL);
          return text.size();
        },
        large, i));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(futures[static_cast<std::size_t>(i)].get().has_value(), i % 5 != 0) << i;
  }
}

TEST_F(PoolNoAsanFaultsTest, B029_CrashTellsWhere) {
  Pool pool{{.workers = 1}};
  const auto failed = pool.submit([] { ::raise(SIGSEGV); }).get();
  EXPECT_EQ(failed.error().cause, Cause::signaled);
  EXPECT_NE(failed.error().backtrace.find("raise"), std::string::npos) << failed.error().backtrace;
}

/// Whose destructor ends the process that it is in, if it is a worker.
struct Deadly {
  std::vector<int> content;
  ~Deadly() {
    if (!content.empty() && shared[kPid].load() != ::getpid()) ::raise(SIGKILL);
  }
  Deadly() = default;
  explicit Deadly(std::vector<int> given) : content(std::move(given)) {}
  Deadly(Deadly&& other) noexcept : content(std::exchange(other.content, {})) {}
  Deadly(const Deadly&) = delete;
};

}  // namespace

template <>
struct Codec<Deadly> {
  static void encode(Encoder& encoder, const Deadly& value) { encoder.write(value.content); }
  static Deadly decode(Decoder& decoder) { return Deadly(decoder.read<std::vector<int>>()); }
};

namespace {

TEST_F(PoolFaultsTest, B015_CrashAfterTheResultIsOutDoesNotTakeItBack) {
  shared[kPid] = ::getpid();
  Pool pool{{.workers = 1}};
  for (int i = 0; i < 30; ++i) {
    const auto fine = pool.submit([](const Deadly& d) { return d.content.size(); },
                                  Deadly(std::vector<int>{1, 2, 3}))
                          .get();
    ASSERT_TRUE(fine) << fine.error().to_string();
    EXPECT_EQ(*fine, 3u);
  }
}

TEST_F(PoolFaultsTest, B174_KilledAnywhereAWorkerCostsAtMostTheTaskItHad) {
  for (int number = 0; number < static_cast<int>(PoolStep::kCount); ++number) {
    const auto step = static_cast<PoolStep>(number);
    for (const int turn : {1, 2, 7}) {
      const DeadlyStep deadly(step, turn);
      Pool pool{{.workers = 2, .recycle = {.after_tasks = 40}}};
      std::vector<PoolFuture<int>> futures;
      for (int i = 0; i < 100; ++i) futures.push_back(pool.submit(twice, i));
      int lost = 0;
      for (auto& future : futures) {
        const auto result = future.get();
        if (result) continue;
        ++lost;
        EXPECT_EQ(result.error().cause, Cause::signaled) << result.error().to_string();
      }
      const bool has_task = step == PoolStep::took_task || step == PoolStep::placed_result;
      EXPECT_LE(lost, has_task ? 1 : 0) << "step " << number << ", turn " << turn;
    }
  }
}

TEST_F(PoolFaultsTest, B174_AWorkerThatDiesBeforeItWakesWhoWaitsHasDeliveredItsValue) {
  // Of the tasks the first is to find all awake and well.
  const DeadlyStep deadly(PoolStep::published, 2);
  Pool pool{{.workers = 1}};
  ASSERT_TRUE(pool.submit(twice, 1).get());
  const auto once_it_sleeps = [](pid_t host) {
    while (process_info(host)->state != 'S') {
    }
    return 7;
  };
  EXPECT_EQ(pool.submit(once_it_sleeps, ::getpid()).get().value(), 7);
}

/// A task that a signal interrupts, and that returns then.
int return_when_interrupted() {
  ++shared[kBegun];
  const pollfd none{-1, 0, 0};
  pollfd copy = none;
  ::poll(&copy, 1, -1);
  return 7;
}

TEST_F(PoolFaultsTest, B046_ATaskWhoseTimeIsUpHasNotReturnedInTimeWhateverItReturns) {
  for (const int retries : {0, 1}) {
    Pool pool{{.grace = 20s, .workers = 1, .retries = retries}};
    auto late = pool.submit({.timeout = 20ms}, return_when_interrupted);
    auto next = pool.submit(own_pid);
    const auto never = late.get();
    ASSERT_FALSE(never);
    EXPECT_EQ(never.error().cause, Cause::timed_out);
    EXPECT_TRUE(next.get());
    const auto results = pool.map(std::vector<int>{3},
                                  [](int) { return return_when_interrupted(); }, {.timeout = 20ms});
    // An item says itself that it is done, and that may still be seen.
    const auto last = results[0];
    EXPECT_TRUE(last ? *last == 7 : last.error().cause == Cause::timed_out);
  }
}

TEST_F(PoolFaultsTest, B174_CrashStormLosesNothingElse) {
  Pool pool{{.workers = 3}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 300; ++i) {
    futures.push_back(pool.submit(
        [](int n) {
          if (n % 3 == 0) ::raise(SIGKILL);
          return n;
        },
        i));
  }
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(futures[static_cast<std::size_t>(i)].get().has_value(), i % 3 != 0) << i;
  }
  EXPECT_EQ(pool.stats().deaths, 100u);
}

TEST_F(PoolFaultsTest, B046_WhatATaskHasStartedDiesWithItsWorker) {
  Pool pool{{.workers = 1}};
  const auto failed = pool.submit([] {
                            const pid_t child = ::fork();
                            if (child == 0)
                              for (;;) ::pause();
                            shared[kOther] = child;
                            ::raise(SIGKILL);
                          })
                          .get();
  EXPECT_FALSE(failed);
  EXPECT_TRUE(eventually([] { return !is_running(shared[kOther].load()); }));
}

// ---- Attempts ----

TEST_F(PoolFaultsTest, B063_RetriesCoverExceptionsAndDeathsAlike) {
  Pool pool{{.workers = 2, .retries = 2}};
  const auto run = [](int how) {
    const int attempt = ++shared[10 + static_cast<std::size_t>(how)];
    if (how == 1 && attempt < 3) throw std::runtime_error("not yet");
    if (how == 2 && attempt < 3) ::raise(SIGKILL);
    if (how == 3) throw std::runtime_error("never");
    if (how == 4) ::raise(SIGKILL);
    return attempt;
  };
  EXPECT_EQ(pool.submit(run, 0).get().value(), 1);
  EXPECT_EQ(pool.submit(run, 1).get().value(), 3);
  EXPECT_EQ(pool.submit(run, 2).get().value(), 3);
  for (const int how : {3, 4}) EXPECT_EQ(pool.submit(run, how).get().error().attempts, 3);
  EXPECT_EQ(pool.submit({.retries = 0}, run, 4).get().error().attempts, 1);
}

TEST_F(PoolFaultsTest, B066_PoisonTaskIsGivenUpAndCrashesHaveALimitOfTheirOwn) {
  Pool pool{{.workers = 2, .retries = 5, .crash_retries = 1}};
  const auto failed = pool.submit([] {
                            ++shared[kCount];
                            ::raise(SIGKILL);
                          })
                          .get();
  EXPECT_EQ(failed.error().attempts, 2);
  EXPECT_EQ(shared[kCount].load(), 2);
  EXPECT_EQ(pool.submit([] {
                  ++shared[kOther];
                  throw 1;
                })
                .get()
                .error()
                .attempts,
            6);
}

TEST_F(PoolFaultsTest, LargeArgumentsAreWholeAtTheSecondAttempt) {
  Pool pool{{.workers = 1, .retries = 1}};
  const std::string large(std::size_t{1} << 20, 'x');
  const auto back = pool.submit(
                            [](std::string text) {
                              if (++shared[kCount] == 1) ::raise(SIGKILL);
                              if (shared[kCount] == 2) text += 'y';
                              return text;
                            },
                            large)
                        .get();
  EXPECT_EQ(back.value(), large + 'y');
}

// ---- Time limits ----

TEST_F(PoolFaultsTest, B058_TimeoutCostsItsTaskAndSaysWhere) {
  Pool pool{{.timeout = 50ms, .workers = 2}};
  auto stuck = pool.submit(hang);
  EXPECT_EQ(pool.submit(twice, 1).get().value(), 2);
  const auto failed = stuck.get();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_NE(failed.error().backtrace.find("pause"), std::string::npos) << failed.error().backtrace;
  EXPECT_EQ(pool.submit(twice, 2).get().value(), 4);
}

TEST_F(PoolFaultsTest, TimeoutIsOfTheTaskAlone) {
  Pool pool{{.workers = 1}};
  auto stuck = pool.submit({.timeout = 20ms}, hang);
  auto behind = pool.submit(own_pid);
  EXPECT_EQ(stuck.get().error().cause, Cause::timed_out);
  EXPECT_TRUE(behind.get());
}

TEST_F(PoolFaultsTest, TimeoutsHoldWhileNobodyWaits) {
  Pool pool{{.timeout = 20ms, .workers = 1}};
  auto stuck = pool.submit([] {
    shared[kPid] = ::getpid();
    hang();
  });
  wait_for(kBegun, 1);
  EXPECT_TRUE(eventually([] { return !is_running(shared[kPid].load()); }));
  EXPECT_EQ(stuck.get().error().cause, Cause::timed_out);
}

TEST_F(PoolFaultsTest, B043_TermIgnoringTaskDiesOfItsTimeout) {
  Pool pool{{.timeout = 20ms, .grace = 50ms, .workers = 1}};
  const auto failed = pool.submit([] {
                            ::signal(SIGTERM, SIG_IGN);
                            hang();
                          })
                          .get();
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_EQ(failed.error().status.value().signal(), SIGKILL);
}

TEST_F(PoolFaultsTest, StoppedWorkerMeetsItsTimeout) {
  Pool pool{{.timeout = 20ms, .workers = 1}};
  EXPECT_EQ(pool.submit([] {
                  ::raise(SIGSTOP);
                  ::pause();
                })
                .get()
                .error()
                .cause,
            Cause::timed_out);
}

TEST_F(PoolFaultsTest, TimedOutTasksAreTriedAgain) {
  Pool pool{{.timeout = 20ms, .workers = 1, .retries = 1}};
  EXPECT_EQ(pool.submit([] {
                  if (++shared[kCount] == 1) hang();
                  return shared[kCount].load();
                })
                .get()
                .value(),
            2);
}

// ---- Cancelling ----

TEST_F(PoolFaultsTest, B049_CancelOfQueuedRunningAndDone) {
  Pool pool{{.workers = 1}};
  auto done = pool.submit(twice, 1);
  ASSERT_TRUE(done.wait_for(10s));
  auto running = pool.submit(hang);
  wait_for(kBegun, 1);
  auto queued = pool.submit([] { ++shared[kCount]; });
  EXPECT_TRUE(queued.cancel());
  EXPECT_FALSE(queued.cancel());
  EXPECT_TRUE(running.cancel());
  EXPECT_FALSE(done.cancel());
  EXPECT_EQ(running.get().error().cause, Cause::cancelled);
  EXPECT_EQ(queued.get().error().cause, Cause::cancelled);
  EXPECT_EQ(done.get().value(), 2);
  EXPECT_TRUE(pool.submit(nothing).get());
  EXPECT_EQ(shared[kCount].load(), 0);
}

TEST_F(PoolFaultsTest, B048_AfterACancelTheNextTaskHasAnotherWorker) {
  Pool pool{{.workers = 1}};
  const pid_t before = pool.submit(own_pid).get().value();
  auto running = pool.submit(hang);
  wait_for(kBegun, 1);
  EXPECT_TRUE(running.cancel());
  EXPECT_NE(pool.submit(own_pid).get().value(), before);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolFaultsTest, B050_ManyCancelsLoseNoWorker) {
  Pool pool{{.workers = 2}};
  int begun = 0;
  for (int i = 0; i < 25; ++i) {
    auto running = pool.submit(hang);
    if (i % 2 == 0) wait_for(kBegun, ++begun);
    EXPECT_TRUE(running.cancel());
    // One that had not begun may have, and then has been counted as well.
    if (i % 2 != 0) {
      EXPECT_EQ(running.get().error().cause, Cause::cancelled);
      begun = shared[kBegun].load();
    }
  }
  const int before = shared[kBegun].load();
  auto a = pool.submit(wait_at_gate);
  auto b = pool.submit(wait_at_gate);
  wait_for(kBegun, before + 2);
  shared[kGate] = 1;
  EXPECT_TRUE(a.get());
  EXPECT_TRUE(b.get());
}

TEST_F(PoolFaultsTest, B045_GrandchildrenDieWithACancelledTask) {
  Pool pool{{.grace = 50ms, .workers = 1}};
  auto running = pool.submit([] {
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGTERM, SIG_IGN);
      for (;;) ::pause();
    }
    shared[kOther] = child;
    shared[kPid] = ::getpid();
    hang();
  });
  wait_for(kBegun, 1);
  EXPECT_TRUE(running.cancel());
  EXPECT_TRUE(eventually(
      [] { return !is_running(shared[kOther].load()) && !is_running(shared[kPid].load()); }));
}

}  // namespace
}  // namespace tine
