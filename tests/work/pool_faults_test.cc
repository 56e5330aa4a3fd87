// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pipe.h"
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
struct PoolShutdownTest : PoolFixture {};
struct PoolNoAsanFaultsTest : PoolFixture {};

pid_t parent_of(pid_t pid) { return process_info(pid).value().parent; }

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

// ---- The end ----

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

TEST_F(PoolFaultsTest, B115_WorkerKilledWhileThePoolIsResized) {
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

// ---- Host and keeper ----

TEST_F(PoolFaultsTest, B096_KilledKeeperCostsWhatRunsAndIsReplaced) {
  Pool pool{{.workers = 2}};
  const pid_t worker = pool.submit(own_pid).get().value();
  auto running = pool.submit(hang);
  wait_for(kBegun, 1);
  auto kept = pool.submit(hang);
  wait_for(kBegun, 2);
  auto queued = pool.submit(twice, 1);
  (void)pool.submit([] { ++shared[kCount]; });
  ::kill(parent_of(worker), SIGKILL);
  EXPECT_EQ(running.get().error().cause, Cause::lost);
  EXPECT_EQ(kept.get().error().cause, Cause::lost);
  EXPECT_EQ(queued.get().value(), 2);
  EXPECT_EQ(pool.submit(twice, 21).get().value(), 42);
  EXPECT_TRUE(eventually([&] { return !is_running(worker) && shared[kCount].load() == 1; }));
}

/// A pool of one worker, which is busy, with `count` tasks behind that; and without a keeper.
struct Orphaned {
  explicit Orphaned(int count, std::size_t size = 1) : pool{{.workers = 1}} {
    const pid_t worker = pool.submit(own_pid).get().value();
    running.emplace(pool.submit(hang));
    wait_for(kBegun, 1);
    for (int i = 0; i < count; ++i) {
      queued.push_back(pool.submit(
          [](const std::string& text, int n) {
            const auto place = static_cast<std::size_t>(shared[kCount]++);
            if (place < 40) shared[10 + place] = n;
            return text.size() + static_cast<std::size_t>(n);
          },
          std::string(size, 'x'), i));
    }
    keeper = parent_of(worker);
  }
  void kill_keeper() const {
    ::kill(keeper, SIGKILL);
    EXPECT_TRUE(eventually([&] { return !is_running(keeper); }));
  }

  Pool pool;
  pid_t keeper = -1;
  std::optional<PoolFuture<void>> running{};
  std::vector<PoolFuture<std::size_t>> queued{};
};

TEST_F(PoolFaultsTest, B096_WhatWaitsWhenTheKeeperIsKilledIsRunOnceAndInOrder) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100'000}}) {
    for (auto& number : shared) number = 0;
    Orphaned orphaned(40, size);
    orphaned.kill_keeper();
    for (std::size_t i = 0; i < 40; ++i) ASSERT_EQ(orphaned.queued[i].get().value(), size + i);
    EXPECT_EQ(shared[kCount].load(), 40);
    for (int i = 0; i < 40; ++i) EXPECT_EQ(shared[10 + static_cast<std::size_t>(i)].load(), i);
    EXPECT_EQ(orphaned.running->get().error().cause, Cause::lost);
    EXPECT_EQ(orphaned.pool.stats().done, 40u);
  }
}

TEST_F(PoolFaultsTest, B096_AMapLosesNoTaskThatWaitsWhenTheKeeperIsKilled) {
  Orphaned orphaned(40);
  const pid_t killer = ::fork();
  if (killer == 0) {
    // When the map has put its part behind the others, its host goes to sleep.
    while (process_info(::getppid())->state != 'S') ::sched_yield();
    ::kill(orphaned.keeper, SIGKILL);
    ::_exit(0);
  }
  const auto results = orphaned.pool.map(std::vector<int>{1, 2, 3}, twice);
  for (const auto& result : results) {
    EXPECT_TRUE(result || result.error().cause == Cause::lost);
  }
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(orphaned.queued[i].get().value(), 1 + i);
  EXPECT_EQ(::waitpid(killer, nullptr, 0), killer);
}

TEST_F(PoolFaultsTest, B096_WhoWaitedBeforeTheKeeperWasThereIsWokenByItsDeath) {
  const pid_t killer = ::fork();
  if (killer == 0) {
    wait_for(kBegun, 1);
    ::kill(shared[kPid], SIGKILL);
    ::_exit(0);
  }
  {
    Pool pool{{.workers = 1}};
    const auto failed = pool.submit([] {
                              shared[kPid] = ::getppid();
                              hang();
                            })
                            .get();
    EXPECT_EQ(failed.error().cause, Cause::lost);
  }
  EXPECT_EQ(::waitpid(killer, nullptr, 0), killer);
}

TEST_F(PoolFaultsTest, B096_SoDoesTheKeeperBehindIt) {
  Orphaned orphaned(10);
  orphaned.kill_keeper();
  EXPECT_EQ(orphaned.queued[0].get().value(), 1u);
  auto second = orphaned.pool.submit(hang);
  wait_for(kBegun, 2);
  auto queued = orphaned.pool.submit(twice, 4);
  ::kill(parent_of(orphaned.pool.worker_pids().at(0)), SIGKILL);
  EXPECT_EQ(queued.get().value(), 8);
  EXPECT_EQ(second.get().error().cause, Cause::lost);
  for (std::size_t i = 1; i < 10; ++i) EXPECT_EQ(orphaned.queued[i].get().value(), 1 + i);
}

TEST_F(PoolFaultsTest, B096_AShutdownMakesAKeeperForWhatWaits) {
  std::vector<PoolFuture<std::size_t>> futures;
  {
    Orphaned orphaned(10);
    orphaned.kill_keeper();
    futures = std::move(orphaned.queued);
  }
  EXPECT_EQ(values(futures).size(), 10u);
}

TEST_F(PoolFaultsTest, B096_CancelAndDescriptorsGoOnWithTheTask) {
  Orphaned orphaned(3);
  const int before = orphaned.queued[0].fd();
  orphaned.kill_keeper();
  EXPECT_TRUE(orphaned.queued[2].cancel());
  EXPECT_EQ(orphaned.running->get().error().cause, Cause::lost);
  for (const std::size_t i : {0, 1}) {
    pollfd end{orphaned.queued[i].fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&end, 1, 10'000), 1);
    EXPECT_TRUE(orphaned.queued[i].ready());
    EXPECT_FALSE(orphaned.queued[i].cancel());
  }
  EXPECT_EQ(orphaned.queued[0].fd(), before);
  EXPECT_EQ(orphaned.queued[2].get().error().cause, Cause::cancelled);
  auto moved = orphaned.pool.submit(hang);
  EXPECT_TRUE(moved.cancel());
}

TEST_F(PoolFaultsTest, B096_PausedTasksKeepTheirAttempts) {
  Pool pool{{.workers = 1, .retries = 1}};
  const pid_t keeper = parent_of(pool.submit(own_pid).get().value());
  auto paused = pool.submit({.retry_delay = [](int) { return std::chrono::nanoseconds(1h); }}, [] {
    if (++shared[kCount] < 3) throw std::runtime_error("not yet");
  });
  EXPECT_TRUE(eventually([&] { return pool.stats().queued == 1 && shared[kCount].load() == 1; }));
  ::kill(keeper, SIGKILL);
  const auto failed = paused.get();
  EXPECT_EQ(failed.error().attempts, 2);
  EXPECT_EQ(failed.error().message, "not yet");
}

/// A host that is to be killed: its pool has a worker that is busy and one that is idle.
pid_t start_host(void (*then)()) {
  const pid_t host = ::fork();
  if (host != 0) return host;
  Pool pool{{.workers = 2}};
  auto idle = pool.submit([] { shared[kOther] = ::getpid(); });
  auto busy = pool.submit([] {
    shared[kPid] = ::getpid();
    hang();
  });
  wait_for(kBegun, 1);
  (void)idle.wait_for(10s);
  then();
  ::_exit(0);
}

void expect_no_worker_is_left(pid_t host) {
  EXPECT_TRUE(eventually(
      [] { return !is_running(shared[kOther].load()) && !is_running(shared[kPid].load()); }));
  ::kill(host, SIGKILL);
  while (::waitpid(host, nullptr, 0) < 0 && errno == EINTR) {
  }
}

TEST_F(PoolFaultsTest, B090_WorkersDieWithAKilledHost) {
  const pid_t host = start_host([] { ::raise(SIGKILL); });
  expect_no_worker_is_left(host);
}

TEST_F(PoolFaultsTest, B071_WorkersDieWithAHostThatExits) {
  const pid_t host = start_host([] { ::_exit(0); });
  expect_no_worker_is_left(host);
}

TEST_F(PoolFaultsTest, WorkersDieWhenTheHostBecomesAnotherProgram) {
  const pid_t host = start_host([] { ::execl("/bin/sleep", "sleep", "1000", nullptr); });
  wait_for(kBegun, 1);
  expect_no_worker_is_left(host);
}

TEST_F(PoolFaultsTest, APoolIsInertInAForkOfItsHost) {
  Pool pool{{.workers = 1}};
  auto future = pool.submit(twice, 1);
  in_a_fork([&] {
    const Pool taken = std::move(pool);
    PoolFuture<int> mine = std::move(future);
    EXPECT_FALSE(mine.cancel());
    EXPECT_EQ(mine.get().error().cause, Cause::lost);
    EXPECT_TRUE(taken.worker_pids().empty());
    auto refused = const_cast<Pool&>(taken).submit(twice, 2).get();
    EXPECT_EQ(refused.error().error.value().kind, ErrorKind::not_owner);
  });
  EXPECT_EQ(future.get().value(), 2);
  EXPECT_EQ(pool.submit(twice, 3).get().value(), 6);
}

TEST_F(PoolFaultsTest, B101_TheHostsOwnChildrenAreLeftAlone) {
  Pool pool{{.workers = 1}};
  const pid_t own = ::fork();
  if (own == 0) ::_exit(7);
  EXPECT_EQ(pool.submit(twice, 1).get().value(), 2);
  int status = 0;
  EXPECT_EQ(::waitpid(own, &status, 0), own);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(PoolFaultsTest, B097_WorkersHaveNoDescriptorsOfTheirSiblings) {
  Pool pool{{.workers = 4}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 4; ++i) {
    futures.push_back(pool.submit([] {
      ++shared[kBegun];
      wait_for(kBegun, 4);
      int open = 0;
      for (int fd = 0; fd < 1000; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
      return open;
    }));
  }
  const auto counts = values(futures);
  EXPECT_EQ(std::set(counts.begin(), counts.end()).size(), 1u);
}

TEST_F(PoolFaultsTest, B098_DescriptorsOfTheHostDoNotGrow) {
  Pool pool{{.workers = 2}};
  const auto count = [] {
    int open = 0;
    for (int fd = 0; fd < 1000; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return open;
  };
  const int before = count();
  for (int i = 0; i < 20; ++i) {
    auto future = pool.submit(twice, i);
    EXPECT_GE(future.fd(), 0);
    EXPECT_TRUE(future.get());
    EXPECT_FALSE(pool.submit([] { ::raise(SIGKILL); }).get());
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace tine
