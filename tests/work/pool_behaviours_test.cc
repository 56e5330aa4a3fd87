// SPDX-License-Identifier: MIT
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <ios>
#include <list>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pipe.h"
#include "tine/process.h"
#include "tine/random.h"
#include "tine/zip.h"
#include "work/pool_tasks.h"
#include "work/pool_worker.h"

/// What others' pools promise, or have got wrong: docs/behaviours.md says where from.

extern int omp_threads;

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;
using work::PoolStep;

struct PoolBehavioursTest : PoolFixture {};
struct PoolNoAsanBehavioursTest : PoolFixture {};

pid_t keeper_of(Pool& pool) {
  return process_info(pool.submit(own_pid).get().value()).value().parent;
}

// ---- What travels ----

/// Ends its process where it is read or written, if `where` says so; counts those that are alive.
struct Restless {
  Restless() { ++shared[kOther]; }
  explicit Restless(int given) : where(given) { ++shared[kOther]; }
  Restless(const Restless& other) : where(other.where) { ++shared[kOther]; }
  Restless& operator=(const Restless&) = default;
  ~Restless() { --shared[kOther]; }
  int where = 0;
};
enum Where : int { kNowhere, kExitWriting, kHalve };

}  // namespace

template <>
struct Codec<Restless> {
  static void encode(Encoder& encoder, const Restless& value) {
    if (value.where == kExitWriting) ::_exit(4);
    encoder.write(value.where);
  }
  static Restless decode(Decoder& decoder) {
    const int read = decoder.read<int>();
    return Restless(read >= kHalve ? read / 2 : read);
  }
};

namespace {

TEST_F(PoolBehavioursTest, B012_ExitWhileTheResultIsWrittenIsAnExitOfItsTask) {
  Pool pool{{.workers = 1}};
  const auto failed = pool.submit([] { return Restless(kExitWriting); }).get();
  EXPECT_EQ(failed.error().cause, Cause::exited);
  EXPECT_EQ(failed.error().status.value().code(), 4);
  EXPECT_EQ(pool.submit([] { return Restless(); }).get().value().where, kNowhere);
}

TEST_F(PoolBehavioursTest, B145_ArgumentsAndValuesAreDestroyedEverywhere) {
  Pool pool{{.workers = 2}};
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(pool.submit([](Restless given) { return given; }, Restless()).get());
    EXPECT_FALSE(pool.submit([](Restless) { throw 1; }, Restless()).get());
  }
  EXPECT_TRUE(eventually([] { return shared[kOther].load() == 0; }));
}

TEST_F(PoolBehavioursTest, B147_ACodecIsUsedInBothDirections) {
  Pool pool{{.workers = 1}};
  const auto back = pool.submit([](const Restless& given) { return given; }, Restless(40)).get();
  EXPECT_EQ(back.value().where, 10);
}

TEST_F(PoolBehavioursTest, B130_SeveralArguments) {
  Pool pool{{.workers = 2}};
  const std::vector<std::string> words{"a", "bb", "ccc"};
  const std::list<int> counts{1, 2, 3, 4};
  std::vector<PoolFuture<std::string>> futures;
  for (const auto& [word, count] : zip(words, counts)) {
    futures.push_back(pool.submit(
        [](const std::string& text, int n, char end) { return text + std::to_string(n) + end; },
        word, count, '!'));
  }
  EXPECT_EQ(values(futures), (std::vector<std::string>{"a1!", "bb2!", "ccc3!"}));
}

TEST_F(PoolBehavioursTest, B022_ExceptionThatLooksLikeAnEndOfFileIsDelivered) {
  Pool pool{{.workers = 1}};
  const auto failed =
      pool.submit([] { throw std::ios_base::failure("unexpected end of file"); }).get();
  EXPECT_EQ(failed.error().cause, Cause::threw);
  EXPECT_NE(failed.error().message.find("unexpected end of file"), std::string::npos);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolBehavioursTest, B062_OtherValuesTakeThePlaceOfFailedOnes) {
  Pool pool{{.workers = 2}};
  const auto results = pool.map(std::vector{0, 1, 2, 3}, [](int n) {
    if (n % 2 == 0) throw n;
    return n;
  });
  std::vector<int> all;
  for (const auto& result : results) all.push_back(result.value_or(-1));
  EXPECT_EQ(all, (std::vector{-1, 1, -1, 3}));
}

// ---- Workers that die ----

TEST_F(PoolBehavioursTest, B020_WorkerThatDiesBeforeItReadsItsTaskIsReplaced) {
  for (const auto step :
       {PoolStep::named_range, PoolStep::took_range, PoolStep::named_task, PoolStep::took_task}) {
    const DeadlyStep deadly(step);
    Pool pool{{.workers = 1}};
    EXPECT_EQ(pool.submit(twice, 4).get().value(), 8) << static_cast<int>(step);
    EXPECT_EQ(pool.stats().deaths, 1u);
  }
}

TEST_F(PoolBehavioursTest, B021_WorkerThatDiesBeforeItWritesItsResultSaysHow) {
  const DeadlyStep deadly(PoolStep::placed_result);
  Pool pool{{.workers = 1}};
  const auto failed = pool.submit({.name = "lookup"}, twice, 4).get();
  EXPECT_EQ(failed.error().cause, Cause::signaled);
  EXPECT_NE(failed.error().to_string().find("SIGKILL"), std::string::npos);
  EXPECT_NE(failed.error().to_string().find("lookup"), std::string::npos);
}

/// Starts a process that wants to stay.
void leave_a_process_behind(bool in_a_session_of_its_own) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (in_a_session_of_its_own) ::setsid();
    ::signal(SIGTERM, SIG_IGN);
    ++shared[kBegun];
    for (;;) ::pause();
  }
  shared[kOther] = child;
  wait_for(kBegun, 1);
}

TEST_F(PoolBehavioursTest, B047_B091_WhatATaskHasStartedDiesWithItsKilledWorker) {
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    for (auto& number : shared) number = 0;
    Pool pool{{.workers = 1}};
    auto running = pool.submit([] {
      shared[kPid] = ::getpid();
      leave_a_process_behind(false);
      hang();
    });
    wait_for(kBegun, 2);
    ::kill(shared[kPid], signal);
    EXPECT_EQ(running.get().error().status.value().signal(), signal);
    EXPECT_TRUE(eventually([] { return !is_running(shared[kOther]); })) << signal;
  }
}

TEST_F(PoolBehavioursTest, B047_WhatHasLeftItsSessionDiesWithItsCancelledTask) {
  Pool pool{{.grace = 50ms, .workers = 1}};
  auto running = pool.submit([] {
    leave_a_process_behind(true);
    hang();
  });
  wait_for(kBegun, 2);
  EXPECT_TRUE(running.cancel());
  EXPECT_TRUE(eventually([] { return !is_running(shared[kOther]); }));
}

TEST_F(PoolBehavioursTest, B047_B090_WhatHasLeftItsSessionDiesWithTheHost) {
  const pid_t host = ::fork();
  if (host == 0) {
    Pool pool{{.workers = 1}};
    auto running = pool.submit([] {
      leave_a_process_behind(true);
      hang();
    });
    wait_for(kBegun, 2);
    ::raise(SIGKILL);
  }
  EXPECT_EQ(::waitpid(host, nullptr, 0), host);
  EXPECT_TRUE(eventually([] { return !is_running(shared[kOther]); }));
}

TEST_F(PoolBehavioursTest, B044_HandlerOfTermRunsOnceBeforeTheKill) {
  Pool pool{{.grace = 50ms, .workers = 1}};
  auto running = pool.submit([] {
    ::signal(SIGTERM, [](int) { ++shared[kCount]; });
    hang();
  });
  wait_for(kBegun, 1);
  const pid_t worker = pool.worker_pids().at(0);
  EXPECT_TRUE(running.cancel());
  EXPECT_TRUE(eventually([&] { return !is_running(worker); }));
  EXPECT_EQ(shared[kCount].load(), 1);
}

// ---- Stopping early ----

TEST_F(PoolBehavioursTest, B051_CancelledMidwayAllFurtherResultsAreCancelled) {
  Pool pool{{.workers = 1}};
  std::vector<PoolFuture<int>> futures;
  futures.push_back(pool.submit(twice, 21));
  for (int i = 0; i < 20; ++i) {
    futures.push_back(pool.submit([] {
      hang();
      return 0;
    }));
  }
  EXPECT_EQ(futures[0].get().value(), 42);
  wait_for(kBegun, 1);
  for (std::size_t i = 1; i <= 20; ++i) EXPECT_TRUE(futures[i].cancel());
  for (std::size_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(futures[i].get().error().cause, Cause::cancelled);
  }
  EXPECT_TRUE(pool.submit(nothing).get());
}

TEST_F(PoolBehavioursTest, B055_ATimeLimitOfAllKeepsWhatIsDone) {
  Pool pool{{.workers = 2}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 3; ++i) {
    futures.push_back(pool.submit(
        [](int n) {
          if (n == 2) hang();
          return n;
        },
        i));
  }
  EXPECT_TRUE(futures[0].wait_for(10s) && futures[1].wait_for(10s));
  EXPECT_FALSE(futures[2].wait_for(1ms));
  for (auto& future : futures) future.cancel();
  EXPECT_EQ(futures[0].get().value(), 0);
  EXPECT_EQ(futures[1].get().value(), 1);
  EXPECT_EQ(futures[2].get().error().cause, Cause::cancelled);
}

TEST_F(PoolBehavioursTest, B059_B131_B132_B133_TheFirstAnswerEndsAllOthers) {
  Pool pool{{.workers = 2}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 20; ++i) {
    futures.push_back(pool.submit(
        [](int n) {
          if (n == 0) hang();
          wait_for(kBegun, 1);
          if (n == 1) return n;
          hang();
          return -1;
        },
        i));
  }
  EXPECT_EQ(futures[1].get().value(), 1);
  wait_for(kBegun, 2);
  // From the last to the first: nothing begins when a worker becomes free.
  for (auto& future : futures | std::views::reverse) future.cancel();
  for (std::size_t i = 0; i < 20; ++i) {
    if (i != 1) {
      EXPECT_EQ(futures[i].get().error().cause, Cause::cancelled) << i;
    }
  }
  EXPECT_EQ(shared[kBegun].load(), 2);
}

// ---- Callbacks, which are the program's ----

/// Calls `handle(index, result)` for each future that has become ready.
template <class R, class Handle>
void handle_all(std::vector<PoolFuture<R>>& futures, const Handle& handle) {
  std::set<std::size_t> open;
  for (std::size_t i = 0; i < futures.size(); ++i) open.insert(i);
  while (!open.empty()) {
    std::vector<pollfd> watched;
    for (const std::size_t i : open) watched.push_back({futures[i].fd(), POLLIN, 0});
    ASSERT_GT(::poll(watched.data(), watched.size(), 10'000), 0);
    const std::vector<std::size_t> numbers(open.begin(), open.end());
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      if (watched[k].revents == 0) continue;
      open.erase(numbers[k]);
      handle(numbers[k], futures[numbers[k]].get());
    }
  }
}

TEST_F(PoolBehavioursTest, B031_HandlersThatThrowHarmNothing) {
  Pool pool{{.workers = 2}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(pool.submit(twice, i));
  EXPECT_THROW(handle_all(futures, [](std::size_t, const auto&) { throw std::logic_error("no"); }),
               std::logic_error);
  EXPECT_EQ(pool.submit(twice, 4).get().value(), 8);
}

TEST_F(PoolBehavioursTest, B032_HandlersMaySubmitWhatCrashes) {
  Pool pool{{.workers = 2}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(pool.submit(twice, i));
  std::vector<PoolFuture<int>> second;
  handle_all(futures, [&](std::size_t i, const auto& result) {
    EXPECT_EQ(result.value(), 2 * static_cast<int>(i));
    second.push_back(pool.submit(
        [](int n) {
          if (n == 0) ::raise(SIGKILL);
          if (n == 1) ::exit(0);
          if (n == 2) throw n;
          return n;
        },
        static_cast<int>(i)));
  });
  int failed = 0;
  handle_all(second, [&](std::size_t, const auto& result) { failed += result ? 0 : 1; });
  EXPECT_EQ(failed, 3);
}

TEST_F(PoolBehavioursTest, B123_ExceptionOfTheInputsComesOut) {
  Pool pool{{.workers = 2}};
  for (const int at : {0, 3, 7}) {
    const auto inputs = std::views::iota(0, 10) | std::views::transform([at](int n) {
                          if (n == at) throw std::runtime_error("no more");
                          return n;
                        });
    EXPECT_THROW((void)pool.map(inputs, twice), std::runtime_error);
    EXPECT_EQ(pool.map(std::vector{1, 2}, twice).values().value(), (std::vector{2, 4}));
  }
}

TEST_F(PoolBehavioursTest, B126_InputsWithoutASizeWork) {
  Pool pool{{.workers = 2}};
  auto even = std::views::iota(0, 200) | std::views::filter([](int n) { return n % 2 == 0; });
  const auto results = pool.map(even, twice);
  ASSERT_EQ(results.size(), 100u);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(results[static_cast<std::size_t>(i)].value(), 4 * i);
  }
}

// ---- Initializers ----

TEST_F(PoolBehavioursTest, B036_TasksAfterAFailedInitializerFailAtOnceAlsoWhenTheQueueIsFull) {
  Pool pool{{.workers = 1, .max_queued = 2, .initializer = [] {
               wait_for(kGate, 1);
               throw std::runtime_error("no model");
             }}};
  auto first = pool.submit(twice, 1);
  auto second = pool.submit(twice, 2);
  EXPECT_FALSE(pool.try_submit(twice, 3));
  shared[kGate] = 1;
  EXPECT_NE(first.get().error().message.find("no model"), std::string::npos);
  for (int i = 0; i < 10; ++i) {
    const auto refused = pool.submit({.name = "late"}, twice, 3).get();
    EXPECT_EQ(refused.error().cause, Cause::threw);
    EXPECT_EQ(refused.error().subject, "late");
    EXPECT_NE(refused.error().message.find("no model"), std::string::npos);
  }
  EXPECT_FALSE(second.get());
  EXPECT_EQ(pool.stats().queued, 0u);
}

TEST_F(PoolBehavioursTest, B036_ExitInAnInitializerIsItsFailure) {
  Pool pool{{.workers = 2, .initializer = [] { ::exit(0); }}};
  const auto failed = pool.submit(twice, 1).get();
  EXPECT_EQ(failed.error().cause, Cause::exited);
  EXPECT_NE(failed.error().message.find("initializer"), std::string::npos);
}

TEST_F(PoolBehavioursTest, B039_AnInitializerThatHangsMeetsItsTimeLimit) {
  Pool pool{
      {.timeout = 1h, .grace = 50ms, .workers = 2, .initializer = hang, .init_timeout = 20ms}};
  const auto failed = pool.submit(twice, 1).get();
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_NE(failed.error().message.find("initializer"), std::string::npos);
  EXPECT_NE(failed.error().backtrace.find("pause"), std::string::npos) << failed.error().backtrace;
  EXPECT_FALSE(pool.submit(twice, 1).get());
}

TEST_F(PoolBehavioursTest, B039_TheTimeLimitOfTheInitializerIsNotThatOfTasks) {
  Pool pool{{.workers = 1, .initializer = nothing, .init_timeout = 20ms}};
  auto running = pool.submit(wait_at_gate);
  EXPECT_FALSE(running.wait_for(60ms));
  shared[kGate] = 1;
  EXPECT_TRUE(running.get());
}

TEST_F(PoolBehavioursTest, B039_APoolWhoseInitializerHangsCanBeShutDown) {
  std::optional<PoolFuture<int>> future;
  {
    Pool pool{{.workers = 1, .shutdown_grace = 20ms, .initializer = hang}};
    future.emplace(pool.submit(twice, 1));
    wait_for(kBegun, 1);
  }
  EXPECT_EQ(future->get().error().cause, Cause::cancelled);
}

// ---- Memory and age ----

std::string& inherited() {
  static std::string bytes(std::size_t{96} << 20, 'x');
  return bytes;
}

void write_what_is_inherited() {
  for (std::size_t i = 0; i < inherited().size(); i += 4096) inherited()[i] = 'y';
}

TEST_F(PoolNoAsanBehavioursTest, B108_InheritedMemoryThatATaskWritesCountsAgainstItsLimit) {
  inherited();
  Pool pool{{.memory = std::size_t{32} << 20, .workers = 2}};
  EXPECT_TRUE(pool.submit(nothing).get());
  const auto failed = pool.submit([] {
                            write_what_is_inherited();
                            hang();
                          })
                          .get();
  EXPECT_EQ(failed.error().cause, Cause::out_of_memory);
  EXPECT_NE(failed.error().message.find("written"), std::string::npos);
  EXPECT_EQ(pool.submit(twice, 4).get().value(), 8);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolNoAsanBehavioursTest, B108_AnInitializerHasTheSameLimit) {
  inherited();
  Pool pool{{.memory = std::size_t{32} << 20, .workers = 1, .initializer = [] {
               write_what_is_inherited();
               hang();
             }}};
  EXPECT_EQ(pool.submit(nothing).get().error().cause, Cause::out_of_memory);
}

TEST_F(PoolNoAsanBehavioursTest, B108_WhatATaskLeavesBehindDoesNotCostTheNextOne) {
  inherited();
  Pool pool{{.memory = std::size_t{32} << 20, .workers = 1}};
  const auto written = pool.submit([] {
                             shared[kPid] = ::getpid();
                             write_what_is_inherited();
                           })
                           .get();
  // Where that takes long, it is seen before it ends.
  if (!written) {
    EXPECT_EQ(written.error().cause, Cause::out_of_memory);
  }
  EXPECT_TRUE(eventually([] { return !is_running(shared[kPid]); }));
  EXPECT_NE(pool.submit(own_pid).get().value(), shared[kPid].load());
}

TEST_F(PoolNoAsanBehavioursTest, B178_WrittenMemoryHasTheBudgetOfMemory) {
  inherited();
  Pool pool{{.memory = std::size_t{32} << 20, .workers = 1, .memory_retries = 2}};
  const auto third = pool.submit([] {
                           if (++shared[kCount] == 3) return ::getpid();
                           write_what_is_inherited();
                           hang();
                           return 0;
                         })
                         .get();
  EXPECT_TRUE(third) << third.error().to_string();
  EXPECT_EQ(shared[kCount].load(), 3);
}

TEST_F(PoolBehavioursTest, B112_IdleWorkersEndAtTheirAge) {
  Pool pool{{.workers = 2, .recycle = {.after_age = 30ms}}};
  const pid_t first = pool.submit(own_pid).get().value();
  EXPECT_TRUE(eventually([&] { return !is_running(first) && pool.stats().workers == 0; }));
  EXPECT_NE(pool.submit(own_pid).get().value(), first);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolBehavioursTest, B112_BusyWorkersFinishTheirTaskFirst) {
  Pool pool{{.workers = 1, .recycle = {.after_age = 1ms}}};
  auto running = pool.submit(wait_at_gate);
  auto behind = pool.submit(own_pid);
  wait_for(kBegun, 1);
  EXPECT_FALSE(running.wait_for(5ms));
  shared[kGate] = 1;
  EXPECT_NE(running.get().value(), behind.get().value());
}

TEST_F(PoolBehavioursTest, B099_IdleWorkersAreGoneWhileOthersWork) {
  Pool pool{{.workers = 3, .idle_timeout = 1ms}};
  auto running = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  EXPECT_TRUE(pool.submit(nothing).get());
  EXPECT_TRUE(eventually([&] { return pool.stats().workers == 1; }));
  // Not even zombies are left.
  const pid_t keeper = process_info(pool.worker_pids().at(0)).value().parent;
  int children = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    const auto info = pid > 0 ? process_info(pid) : std::unexpected(Error{});
    children += info && info->parent == keeper ? 1 : 0;
  }
  EXPECT_EQ(children, 1);
  shared[kGate] = 1;
  EXPECT_TRUE(running.get());
}

// ---- Workers and tasks ----

TEST_F(PoolBehavioursTest, B139_NobodyIdlesWhileTasksWait) {
  Pool pool{{.workers = 2}};
  auto slow = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.submit(twice, i).get().value(), 2 * i);
  EXPECT_FALSE(slow.ready());
  shared[kGate] = 1;
  EXPECT_TRUE(slow.get());
}

TEST_F(PoolBehavioursTest, B141_AllWorkersAreUsed) {
  Pool pool{{.workers = 5}};
  std::vector<PoolFuture<pid_t>> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(pool.submit(wait_at_gate));
  wait_for(kBegun, 5);
  shared[kGate] = 1;
  const auto pids = values(futures);
  EXPECT_EQ(std::set(pids.begin(), pids.end()).size(), 5u);
}

TEST_F(PoolBehavioursTest, B158_TasksDrawDifferentNumbers) {
  Pool pool{{.workers = 3}};
  std::vector<PoolFuture<std::uint64_t>> futures;
  for (int i = 0; i < 30; ++i) futures.push_back(pool.submit([] { return rng()(); }));
  const auto drawn = values(futures);
  EXPECT_EQ(std::set(drawn.begin(), drawn.end()).size(), 30u);
}

TEST_F(PoolBehavioursTest, B159_SeededTasksDrawTheSameNumbersEverywhere) {
  const auto draw = [](std::uint64_t of) {
    seed(of);
    return rng()();
  };
  std::vector<std::vector<std::uint64_t>> all;
  for (const int workers : {1, 4}) {
    Pool pool{{.workers = workers}};
    std::vector<PoolFuture<std::uint64_t>> futures;
    for (std::uint64_t i = 0; i < 20; ++i) futures.push_back(pool.submit(draw, i));
    all.push_back(values(futures));
  }
  EXPECT_EQ(all[0], all[1]);
}

TEST_F(PoolBehavioursTest, B162_WorkerCountComesFromTheEnvironment) {
  ::setenv("TINE_WORKERS", "3", 1);
  Pool pool;
  ::unsetenv("TINE_WORKERS");
  std::vector<PoolFuture<pid_t>> futures;
  for (int i = 0; i < 6; ++i) futures.push_back(pool.submit(wait_at_gate));
  wait_for(kBegun, 3);
  EXPECT_EQ(pool.stats().workers, 3);
  shared[kGate] = 1;
  EXPECT_EQ(values(futures).size(), 6u);
}

TEST_F(PoolBehavioursTest, B160_ThereAreAsManyWorkersAsUsableCpus) {
  Pool pool;
  const auto cpus = static_cast<int>(usable_cpus());
  std::vector<PoolFuture<pid_t>> futures;
  for (int i = 0; i < cpus + 3; ++i) futures.push_back(pool.submit(wait_at_gate));
  wait_for(kBegun, cpus);
  EXPECT_EQ(pool.stats().workers, cpus);
  shared[kGate] = 1;
  EXPECT_EQ(values(futures).size(), static_cast<std::size_t>(cpus) + 3);
}

TEST_F(PoolBehavioursTest, B163_ThreadsOfOpenMpAreDividedAmongTheWorkers) {
  ::unsetenv("OMP_NUM_THREADS");
  Pool pool{{.workers = 4}};
  EXPECT_EQ(pool.submit([] { return omp_threads; }).get().value(),
            std::max(1, static_cast<int>(usable_cpus()) / 4));
}

TEST_F(PoolBehavioursTest, B172_CountersAgree) {
  Pool pool{{.workers = 2, .retries = 1}};
  std::vector<PoolFuture<int>> futures;
  const auto run = [](int n) {
    if (n % 5 == 1) throw n;
    if (n % 5 == 2) ::raise(SIGKILL);
    return n;
  };
  for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(run, i));
  for (auto& future : futures) (void)future.wait_for(10s);
  auto a = pool.submit(wait_at_gate);
  auto b = pool.submit(wait_at_gate);
  wait_for(kBegun, 2);
  auto queued = pool.submit(twice, 1);
  auto unwanted = pool.submit(twice, 1);
  EXPECT_TRUE(unwanted.cancel());
  const PoolStats busy = pool.stats();
  EXPECT_EQ(busy.queued, 1u);
  EXPECT_EQ(busy.running, 2u);
  EXPECT_EQ(busy.done, 51u);
  EXPECT_EQ(busy.failed, 21u);
  EXPECT_EQ(busy.deaths, 20u);
  EXPECT_EQ(busy.workers, 2);
  shared[kGate] = 1;
  EXPECT_TRUE(a.get() && b.get() && queued.get());
  const PoolStats rest = pool.stats();
  EXPECT_EQ(rest.queued, 0u);
  EXPECT_EQ(rest.running, 0u);
  EXPECT_EQ(rest.done, 54u);
}

TEST_F(PoolBehavioursTest, B172_CountersAgreeAfterAPoolWasKilled) {
  Pool pool{{.workers = 2}};
  std::vector<PoolFuture<void>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(hang));
  wait_for(kBegun, 2);
  pool.shutdown(Drain::no);
  const PoolStats stats = pool.stats();
  EXPECT_EQ(stats.queued, 0u);
  EXPECT_EQ(stats.running, 0u);
  EXPECT_EQ(stats.done, 10u);
  EXPECT_EQ(stats.failed, 10u);
}

// ---- The end ----

TEST_F(PoolBehavioursTest, B076_FullQueueWhoseWorkersHaveEndedCanBeShutDown) {
  std::vector<PoolFuture<int>> futures;
  {
    Pool pool{{.workers = 2, .idle_timeout = 1us, .max_queued = 4}};
    for (int i = 0; i < 200; ++i) futures.push_back(pool.submit(twice, i));
    for (const pid_t pid : pool.worker_pids()) ::kill(pid, SIGKILL);
  }
  int done = 0;
  for (auto& future : futures) done += future.get() ? 1 : 0;
  EXPECT_GE(done, 198);
}

TEST_F(PoolBehavioursTest, B077_AKeeperThatIsHeldUpMissesNoCall) {
  Pool pool{{.workers = 2}};
  const pid_t keeper = keeper_of(pool);
  ::kill(pool.worker_pids().at(0), SIGKILL);
  ::kill(keeper, SIGSTOP);
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 1000; ++i) futures.push_back(pool.submit(twice, i));
  for (int i = 0; i < 10; ++i) futures[static_cast<std::size_t>(i)].cancel();
  ::kill(keeper, SIGCONT);
  for (std::size_t i = 10; i < 1000; ++i) {
    ASSERT_EQ(futures[i].get().value(), 2 * static_cast<int>(i));
  }
}

TEST_F(PoolBehavioursTest, B080_B155_PoolsInPoolsDieWithTheOuterOne) {
  const auto nested = [] {
    Pool inner{{.workers = 1}};
    auto deepest = inner.submit([] {
      Pool innermost{{.workers = 1}};
      auto last = innermost.submit([] {
        shared[kPid] = ::getpid();
        hang();
      });
      (void)last.get();
    });
    (void)deepest.get();
  };
  Pool pool{{.workers = 1}};
  auto running = pool.submit(nested);
  wait_for(kBegun, 1);
  pool.shutdown(Drain::no);
  EXPECT_EQ(running.get().error().cause, Cause::cancelled);
  EXPECT_TRUE(eventually([] { return !is_running(shared[kPid]); }));
}

TEST_F(PoolBehavioursTest, B155_AProgramMayEndWithPoolsInPools) {
  in_a_fork([] {
    static Pool pool{{.workers = 1}};
    EXPECT_EQ(pool.submit([] {
                    static Pool inner{{.workers = 1}};
                    return inner.submit(twice, 21).get().value();
                  })
                  .get()
                  .value(),
              42);
  });
}

int interrupts_of_get = 0;

TEST_F(PoolBehavioursTest, B085_B086_HandlersOfTheProgramAreItsOwn) {
  interrupts_of_get = 0;
  const auto handler = [](int) { ++interrupts_of_get; };
  ::signal(SIGINT, handler);
  Pool pool{{.workers = 2}};
  auto running = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  ::raise(SIGINT);
  shared[kGate] = 1;
  EXPECT_TRUE(running.get());
  ::raise(SIGINT);
  pool.shutdown();
  EXPECT_EQ(interrupts_of_get, 2);
  EXPECT_EQ(::signal(SIGINT, SIG_DFL), +handler);
}

TEST_F(PoolBehavioursTest, B089_APoolThatGoesWellSaysNothing) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  {
    Pool pool{{.workers = 2, .recycle = {.after_tasks = 5}}};
    std::vector<PoolFuture<int>> futures;
    for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(twice, i));
    EXPECT_EQ(values(futures).size(), 50u);
    ASSERT_TRUE(pool.resize(1));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

// ---- Streams ----

TEST_F(PoolBehavioursTest, B165_StdinOfTasksIsNotOurs) {
  in_a_fork([] {
    auto typed = Pipe::create().value();
    ASSERT_EQ(::dup2(typed.reader.fd().get(), STDIN_FILENO), STDIN_FILENO);
    Pool pool{{.workers = 1}};
    EXPECT_TRUE(pool.submit([] {
                      char byte = 0;
                      return ::read(STDIN_FILENO, &byte, 1) == 0 &&
                             std::system("cat > /dev/null") == 0;  // would wait for ever
                    })
                    .get()
                    .value());
  });
}

TEST_F(PoolBehavioursTest, B166_ClosedStreamsHarmNobody) {
  in_a_fork([] {
    const Fd aside{::dup(STDERR_FILENO)};
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(fd);
    bool fine = true;
    {
      Pool pool{{.workers = 2}};
      for (int i = 0; i < 10; ++i) {
        fine &= pool.submit([] {
                      std::fputs("to nobody\n", stdout);
                      std::fputs("to nobody\n", stderr);
                    })
                    .get()
                    .has_value();
      }
    }
    ::dup2(aside.get(), STDERR_FILENO);
    EXPECT_TRUE(fine);
  });
  Pool pool{{.workers = 1}};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(pool.submit([] {
                      ::close(STDOUT_FILENO);
                      ::close(STDERR_FILENO);
                      std::fputs("to nobody\n", stdout);
                    })
                    .get());
  }
}

}  // namespace
}  // namespace tine
