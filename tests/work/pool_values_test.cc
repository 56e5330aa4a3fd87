// SPDX-License-Identifier: MIT
//
// What goes to the workers of a pool and comes back, and what cannot.

#include "tine/pool.h"

#include <signal.h>
#include <unistd.h>

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

struct PoolValuesTest : PoolFixture {};
struct PoolValuesSlowTest : PoolFixture {};

struct Position {
  double x, y, z;
  bool operator==(const Position&) const = default;
};

struct Scale {
  int operator()(int n) const { return 10 * n; }
};

// ---- Values and arguments ----

TEST_F(PoolValuesTest, FunctionsOfAllKindsWithoutCapturesRun) {
  Pool pool{{.workers = 2}};
  EXPECT_EQ(pool.submit(twice, 21).get().value(), 42);
  EXPECT_EQ(pool.submit(&twice, 21).get().value(), 42);
  EXPECT_EQ(pool.submit([](int a, int b) { return a - b; }, 5, 3).get().value(), 2);
  EXPECT_EQ(pool.submit([](auto a) { return a + a; }, 1.5).get().value(), 3.0);
  EXPECT_EQ(pool.submit(Scale{}, 4).get().value(), 40);
  EXPECT_TRUE(pool.submit(nothing).get());
}

TEST_F(PoolValuesTest, ValuesOfAllKindsTravelBothWays) {
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

TEST_F(PoolValuesTest, B148_ExpectedOfTheFunctionIsAValue) {
  using Answer = std::expected<int, std::string>;
  Pool pool{{.workers = 1}};
  EXPECT_EQ(pool.submit([]() -> Answer { return std::unexpected("one"); }).get().value(),
            Answer(std::unexpected("one")));
}

TEST_F(PoolValuesTest, B143_LargeArgumentsAndResults) {
  Pool pool{{.workers = 2}};
  const std::string text(std::size_t{100} << 20, 'x');
  for (int i = 0; i < 2; ++i) {
    const auto back = pool.submit([](std::string given) { return given + "!"; }, text).get();
    ASSERT_TRUE(back) << back.error().to_string();
    EXPECT_EQ(back->size(), text.size() + 1);
    EXPECT_TRUE(back->starts_with(text));
  }
}

TEST_F(PoolValuesSlowTest, B144_MoreThanTwoGigabytesThereAndBack) {
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

TEST_F(PoolValuesTest, LargeResultsAreReadWhereTheWorkerHasPutThem) {
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

TEST_F(PoolValuesTest, ResultsInPlaceOutliveTheirPoolAndAreNotOverwritten) {
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

TEST_F(PoolValuesTest, MemoryOfLargeResultsStaysOrGoesAsTheOptionSays) {
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

TEST_F(PoolValuesTest, MemoryThatIsGivenBackIsNobodyElses) {
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

TEST_F(PoolValuesTest, WhatDroppedTasksHaveLeftIsUsedAgain) {
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

TEST_F(PoolValuesTest, ManyResultsOfAllSizesAreKeptUntilTheyAreFetched) {
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

TEST_F(PoolValuesTest, ManyTasksHaveTheirOwnValues) {
  Pool pool{{.workers = 3}};
  std::vector<PoolFuture<int>> futures;
  for (int n = 0; n < 100'000; ++n) futures.push_back(pool.submit(twice, n));
  for (int n = 0; n < 100'000; ++n)
    ASSERT_EQ(futures[static_cast<std::size_t>(n)].get().value(), 2 * n);
  EXPECT_EQ(pool.stats().done, 100'000u);
}

TEST_F(PoolValuesTest, DroppedFuturesLeaveTheirTasksToRun) {
  Pool pool{{.workers = 2}};
  for (int n = 0; n < 20'000; ++n) (void)pool.submit([] { ++shared[kCount]; });
  pool.shutdown();
  EXPECT_EQ(shared[kCount].load(), 20'000);
}

TEST_F(PoolValuesTest, B151_TasksFromTheResultsOfTasks) {
  Pool pool{{.workers = 2}};
  for (const int length : {100, 50, 60}) {
    int value = 0;
    for (int i = 0; i < length; ++i)
      value = pool.submit([](int n) { return n + 1; }, value).get().value();
    EXPECT_EQ(value, length);
  }
}

// ---- Exceptions, and what cannot travel ----

TEST_F(PoolValuesTest, B009_ExceptionCostsItsTaskAndKeepsItsWorker) {
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

TEST_F(PoolValuesTest, B030_WhatATaskWroteToStderrStandsInItsFailure) {
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

TEST_F(PoolValuesTest, B001_ArgumentsThatCannotBeWrittenFailTheirTask) {
  Pool pool{{.workers = 1}};
  const auto failed = pool.submit(use, Fragile{kEncodeHere}).get();
  EXPECT_EQ(failed.error().cause, Cause::not_started);
  EXPECT_NE(failed.error().message.find("cannot be written"), std::string::npos);
  EXPECT_EQ(pool.submit(use, Fragile{}).get().value(), 0);
}

TEST_F(PoolValuesTest, B033_ManyFailingArgumentsDoNotWedgeThePool) {
  Pool pool{{.workers = 1, .max_queued = 10}};
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pool.submit(use, Fragile{kEncodeHere}).get());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(pool.submit(use, Fragile{}).get());
}

TEST_F(PoolValuesTest, B075_ArgumentsThatCannotBeWrittenDuringTheShutdown) {
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

TEST_F(PoolValuesTest, B003_B004_B005_WhatHappensToArgumentsInAWorkerFailsTheirTask) {
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

TEST_F(PoolValuesTest, B010_B013_ResultsThatCannotTravelCostNoWorker) {
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

}  // namespace
}  // namespace tine
