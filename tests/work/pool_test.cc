// SPDX-License-Identifier: MIT
#include "tine/pool.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <expected>
#include <fstream>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
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
struct PoolSlowTest : PoolFixture {};

struct Position {
  double x, y, z;
  bool operator==(const Position&) const = default;
};

struct Scale {
  int operator()(int n) const { return 10 * n; }
};

// ---- Values and arguments ----

TEST_F(PoolTest, FunctionsOfAllKindsWithoutCapturesRun) {
  Pool pool{{.workers = 2}};
  EXPECT_EQ(pool.submit(twice, 21).get().value(), 42);
  EXPECT_EQ(pool.submit(&twice, 21).get().value(), 42);
  EXPECT_EQ(pool.submit([](int a, int b) { return a - b; }, 5, 3).get().value(), 2);
  EXPECT_EQ(pool.submit([](auto a) { return a + a; }, 1.5).get().value(), 3.0);
  EXPECT_EQ(pool.submit(Scale{}, 4).get().value(), 40);
  EXPECT_TRUE(pool.submit(nothing).get());
}

TEST_F(PoolTest, ValuesOfAllKindsTravelBothWays) {
  Pool pool{{.workers = 2}};
  const auto same = [](const auto& value) { return value; };
  const std::string text(1000, 'x');
  const std::vector<double> numbers(5000, 2.5);
  const std::map<std::string, int> table{{"a", 1}, {"b", 2}};
  EXPECT_EQ(pool.submit(same, text).get().value(), text);
  EXPECT_EQ(pool.submit(same, "literal").get().value(), "literal");
  EXPECT_EQ(pool.submit(same, std::string()).get().value(), "");
  EXPECT_EQ(pool.submit(same, numbers).get().value(), numbers);
  EXPECT_EQ(pool.submit(same, table).get().value(), table);
  EXPECT_EQ(pool.submit(same, true).get().value(), true);
  EXPECT_EQ(pool.submit(same, (Position{1, 2, 3})).get().value(), (Position{1, 2, 3}));
  EXPECT_EQ(pool.submit(same, (Entry{"e", {1, 2}})).get().value(), (Entry{"e", {1, 2}}));
  EXPECT_EQ(pool.submit(same, std::optional<int>(3)).get().value(), 3);
  EXPECT_EQ(pool.submit([](std::unique_ptr<int> n) { return std::make_unique<int>(*n + 1); },
                        std::make_unique<int>(1))
                .get()
                .value()
                .operator*(),
            2);
}

TEST_F(PoolTest, B148_ExpectedOfTheFunctionIsAValue) {
  using Answer = std::expected<int, std::string>;
  Pool pool{{.workers = 1}};
  EXPECT_EQ(pool.submit([]() -> Answer { return std::unexpected("one"); }).get().value(),
            Answer(std::unexpected("one")));
}

TEST_F(PoolTest, B143_LargeArgumentsAndResults) {
  Pool pool{{.workers = 2}};
  const std::string text(std::size_t{100} << 20, 'x');
  for (int i = 0; i < 2; ++i) {
    const auto back = pool.submit([](std::string given) { return given + "!"; }, text).get();
    ASSERT_TRUE(back) << back.error().to_string();
    EXPECT_EQ(back->size(), text.size() + 1);
    EXPECT_TRUE(back->starts_with(text));
  }
}

TEST_F(PoolSlowTest, B144_MoreThanTwoGigabytesThereAndBack) {
  Pool pool{{.workers = 1}};
  const std::size_t size = 2'200'000'001;
  std::vector<char> bytes(size, 'a');
  bytes.back() = 'z';
  const auto back = pool.submit([](std::vector<char> given) { return given; }, bytes).get();
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_TRUE(*back == bytes);
}

/// KiB of shared memory that a process has touched.
long shared_memory(pid_t pid = ::getpid()) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    if (word != "RssShmem:") continue;
    long size = 0;
    status >> size;
    return size;
  }
  return -1;
}

std::vector<double> count_up(std::size_t size) {
  std::vector<double> values(size);
  std::iota(values.begin(), values.end(), 0.0);
  return values;
}

TEST_F(PoolTest, LargeResultsAreReadWhereTheWorkerHasPutThem) {
  for (const StartMethod start : {StartMethod::fork, StartMethod::spawn}) {
    Pool pool{{.workers = 2, .start = start}};
    for (const std::size_t size : {0, 1, 5, 100, 300'000}) {
      auto future = pool.submit(count_up, size);
      auto values = future.get_in_place();
      ASSERT_TRUE(values) << values.error().to_string();
      EXPECT_EQ(std::vector(values->begin(), values->end()), count_up(size));
      EXPECT_EQ(future.get_in_place().error().cause, Cause::lost) << "it has been fetched";
    }
    auto text = pool.submit([] { return std::string(100'000, 'x'); }).get_in_place();
    EXPECT_EQ(std::string(text->begin(), text->end()), std::string(100'000, 'x'));
    auto failed = pool.submit([]() -> std::string { throw std::runtime_error("no"); });
    EXPECT_EQ(failed.get_in_place().error().cause, Cause::threw);
  }
}

TEST_F(PoolTest, ResultsInPlaceOutliveTheirPoolAndAreNotOverwritten) {
  std::vector<SharedArray<double>> all;
  {
    Pool pool{{.workers = 2}};
    for (std::size_t i = 0; i < 20; ++i) {
      all.push_back(pool.submit(count_up, 10'000 * (i % 4)).get_in_place().value());
    }
  }
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(std::vector(all[i].begin(), all[i].end()), count_up(10'000 * (i % 4)));
  }
}

TEST_F(PoolTest, MemoryOfLargeResultsStaysOrGoesAsTheOptionSays) {
  constexpr std::size_t kSize = std::size_t{4} << 20;  // doubles: 32 MiB
  constexpr long kKiB = kSize * sizeof(double) / 1024;
  for (const std::uint64_t kept : {std::uint64_t{0}, std::uint64_t{1} << 30}) {
    Pool pool{{.workers = 1, .warm_memory = kept}};
    const long before = shared_memory();
    {
      const auto values = pool.submit(count_up, kSize).get_in_place().value();
      ASSERT_EQ(std::accumulate(values.begin(), values.end(), 0.0), kSize * (kSize - 1.0) / 2);
      EXPECT_GE(shared_memory() - before, kKiB);
    }
    if (kept == 0) {
      EXPECT_LT(shared_memory() - before, kKiB / 2);
    } else {
      EXPECT_GE(shared_memory() - before, kKiB);
    }
  }
}

TEST_F(PoolTest, MemoryThatIsGivenBackIsNobodyElses) {
  Pool pool{{.workers = 2, .warm_memory = 0}};
  const auto text_of = [](std::size_t i) {
    return std::string(50 + i * 37 % 3000, static_cast<char>('a' + i % 26));
  };
  std::vector<PoolFuture<std::string>> futures;
  for (std::size_t i = 0; i < 500; ++i) {
    futures.push_back(pool.submit([](std::string text) { return text; }, text_of(i)));
    if (i % 3 == 2) {
      ASSERT_EQ(futures[i - 1].get().value(), text_of(i - 1));
    }
  }
  for (std::size_t i = 0; i < 500; ++i) {
    if (i % 3 != 1 || i == 499) {
      ASSERT_EQ(futures[i].get().value(), text_of(i));
    }
  }
}

TEST_F(PoolTest, WhatDroppedTasksHaveLeftIsUsedAgain) {
  Pool pool{{.workers = 1}};
  std::vector<PoolFuture<int>> many;
  for (int i = 0; i < 2000; ++i) many.push_back(pool.submit(twice, i));
  for (auto& each : many) ASSERT_TRUE(each.get());
  const auto large = [] { return std::vector<double>(std::size_t{1} << 17); };  // 1 MiB
  const pid_t worker = pool.worker_pids().at(0);
  const long before = shared_memory(worker);
  for (int i = 0; i < 200; ++i) {
    (void)pool.submit(large);
    ASSERT_TRUE(pool.submit(twice, i).get());
  }
  EXPECT_EQ(pool.worker_pids().at(0), worker);
  EXPECT_LT(shared_memory(worker) - before, 100 * 1024);
}

TEST_F(PoolTest, ManyResultsOfAllSizesAreKeptUntilTheyAreFetched) {
  Pool pool{{.workers = 2}};
  std::vector<PoolFuture<std::string>> futures;
  const auto make = [](int n) {
    return std::string(static_cast<std::size_t>(n * n % 40'000), 'a');
  };
  for (int round = 0; round < 3; ++round) {
    for (int n = 0; n < 3000; ++n) futures.push_back(pool.submit(make, n));
    const auto all = values(futures);
    for (int n = 0; n < 3000; ++n) ASSERT_EQ(all[static_cast<std::size_t>(n)], make(n));
    futures.clear();
  }
}

TEST_F(PoolTest, ManyTasksHaveTheirOwnValues) {
  Pool pool{{.workers = 3}};
  std::vector<PoolFuture<int>> futures;
  for (int n = 0; n < 100'000; ++n) futures.push_back(pool.submit(twice, n));
  for (int n = 0; n < 100'000; ++n)
    ASSERT_EQ(futures[static_cast<std::size_t>(n)].get().value(), 2 * n);
  EXPECT_EQ(pool.stats().done, 100'000u);
}

TEST_F(PoolTest, DroppedFuturesLeaveTheirTasksToRun) {
  Pool pool{{.workers = 2}};
  for (int n = 0; n < 20'000; ++n) (void)pool.submit([] { ++shared[kCount]; });
  pool.shutdown();
  EXPECT_EQ(shared[kCount].load(), 20'000);
}

TEST_F(PoolTest, B151_TasksFromTheResultsOfTasks) {
  Pool pool{{.workers = 2}};
  for (const int length : {100, 50, 60}) {
    int value = 0;
    for (int i = 0; i < length; ++i)
      value = pool.submit([](int n) { return n + 1; }, value).get().value();
    EXPECT_EQ(value, length);
  }
}

// ---- Exceptions, and what cannot travel ----

TEST_F(PoolTest, B009_ExceptionCostsItsTaskAndKeepsItsWorker) {
  Pool pool{{.workers = 1}};
  const pid_t before = pool.submit(own_pid).get().value();
  const auto failed = pool.submit(
                              {.name = "look up"},
                              [](int n) -> int { throw std::out_of_range(std::to_string(n)); }, 7)
                          .get();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::threw);
  EXPECT_EQ(failed.error().type, "std::out_of_range");
  EXPECT_EQ(failed.error().message, "7");
  EXPECT_EQ(failed.error().subject, "look up");
  EXPECT_EQ(pool.submit(own_pid).get().value(), before);
  EXPECT_EQ(pool.stats().failed, 1u);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolTest, B030_WhatATaskWroteToStderrStandsInItsFailure) {
  Pool pool{{.workers = 1}};
  testing::internal::CaptureStderr();
  const auto thrown = pool.submit([] {
                            ::write(STDERR_FILENO, "before\n", 7);
                            throw 1;
                          })
                          .get();
  const auto killed = pool.submit([] {
                            ::write(STDERR_FILENO, "last\n", 5);
                            ::raise(SIGKILL);
                          })
                          .get();
  pool.shutdown();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(thrown.error().stderr_tail, "before\n");
  EXPECT_EQ(killed.error().stderr_tail, "last\n");
}

/// Whose codec fails where `where` says.
struct Fragile {
  int where = 0;
};
enum Trouble : int { kNone, kEncodeHere, kDecodeThere, kExitThere, kCrashThere, kDecodeHere };

}  // namespace

template <>
struct Codec<Fragile> {
  static void encode(Encoder& encoder, const Fragile& value) {
    if (value.where == kEncodeHere) throw std::runtime_error("cannot be written");
    encoder.write(value.where);
  }
  static Fragile decode(Decoder& decoder) {
    const int where = decoder.read<int>();
    const bool in_worker = shared[kPid].load() != ::getpid();
    if (where == kDecodeThere && in_worker) throw std::runtime_error("cannot be read");
    if (where == kExitThere && in_worker) ::exit(0);
    if (where == kCrashThere && in_worker) ::raise(SIGKILL);
    if (where == kDecodeHere && !in_worker) throw std::runtime_error("cannot be read here");
    return {where};
  }
};

namespace {

int use(Fragile given) { return given.where; }
Fragile give(int where) { return {where}; }

TEST_F(PoolTest, B001_ArgumentsThatCannotBeWrittenFailTheirTask) {
  Pool pool{{.workers = 1}};
  const auto failed = pool.submit(use, Fragile{kEncodeHere}).get();
  EXPECT_EQ(failed.error().cause, Cause::not_started);
  EXPECT_NE(failed.error().message.find("cannot be written"), std::string::npos);
  EXPECT_EQ(pool.submit(use, Fragile{}).get().value(), 0);
}

TEST_F(PoolTest, B033_ManyFailingArgumentsDoNotWedgeThePool) {
  Pool pool{{.workers = 1, .max_queued = 10}};
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pool.submit(use, Fragile{kEncodeHere}).get());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(pool.submit(use, Fragile{}).get());
}

TEST_F(PoolTest, B075_ArgumentsThatCannotBeWrittenDuringTheShutdown) {
  Pool pool{{.workers = 1}};
  auto running = pool.submit(wait_at_gate);
  wait_for(kBegun, 1);
  auto failed = pool.submit(use, Fragile{kEncodeHere});
  shared[kGate] = 1;
  pool.shutdown();
  EXPECT_EQ(failed.get().error().cause, Cause::not_started);
  EXPECT_TRUE(running.get());
  EXPECT_EQ(pool.submit(use, Fragile{kEncodeHere}).get().error().cause, Cause::not_started);
}

TEST_F(PoolTest, B003_B004_B005_WhatHappensToArgumentsInAWorkerFailsTheirTask) {
  shared[kPid] = ::getpid();
  Pool pool{{.workers = 1}};
  const auto thrown = pool.submit(use, Fragile{kDecodeThere}).get();
  EXPECT_EQ(thrown.error().cause, Cause::undecodable);
  EXPECT_NE(thrown.error().message.find("cannot be read"), std::string::npos);
  const auto exited = pool.submit(use, Fragile{kExitThere}).get();
  EXPECT_EQ(exited.error().cause, Cause::exited);
  EXPECT_EQ(exited.error().status.value().code(), 0);
  const auto crashed = pool.submit(use, Fragile{kCrashThere}).get();
  EXPECT_EQ(crashed.error().cause, Cause::signaled);
  EXPECT_TRUE(pool.submit(use, Fragile{}).get());
}

TEST_F(PoolTest, B010_B013_ResultsThatCannotTravelCostNoWorker) {
  shared[kPid] = ::getpid();
  Pool pool{{.workers = 1}};
  const pid_t before = pool.submit(own_pid).get().value();
  for (int i = 0; i < 20; ++i) {
    const auto unwritten = pool.submit(give, static_cast<int>(kEncodeHere)).get();
    EXPECT_EQ(unwritten.error().cause, Cause::undecodable);
    EXPECT_NE(unwritten.error().message.find("cannot be written"), std::string::npos);
    const auto unread = pool.submit(give, static_cast<int>(kDecodeHere)).get();
    EXPECT_EQ(unread.error().cause, Cause::undecodable);
  }
  EXPECT_EQ(pool.submit(own_pid).get().value(), before);
}

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
