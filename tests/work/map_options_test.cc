// SPDX-License-Identifier: MIT
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/map.h"
#include "tine/pool.h"
#include "tine/random.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using test::numbers;
using test::SharedCounters;

struct MapOptionsTest : test::CleanProcessTest {};
struct MapThreadsTest : test::CleanProcessTest {};
struct MapNoAsanTest : test::CleanProcessTest {};

template <class Results>
std::set<pid_t> distinct(const Results& results) {
  std::set<pid_t> all;
  for (const auto& result : results) all.insert(*result);
  return all;
}

// ---- Workers ----

TEST_F(MapOptionsTest, StrictWorkersTakeWhatTheHelpingParentLeaves) {
  for (const int crashing : {-1, 7, 399}) {
    MapOptions options{.workers = 2, .isolation = Isolation::strict, .parent_helps = true};
    options.recycle.after_items = crashing < 0 ? 10 : 0;
    const pid_t host = ::getpid();
    const auto results = map(
        numbers(400),
        [&](int n) {
          if (n == crashing && ::getpid() != host) ::raise(SIGKILL);
          return n;
        },
        options);
    EXPECT_LE(results.failures().items(), crashing < 0 ? 0u : 1u);
    for (int i = 0; i < 400; ++i) {
      const auto& result = results[static_cast<std::size_t>(i)];
      if (!result && i == crashing) continue;
      EXPECT_EQ(result.value(), i);
    }
  }
}

TEST_F(MapOptionsTest, OptionsThatMakeNoSenseAreRefused) {
  const auto why = [](const MapOptions& options) {
    const auto results = map(numbers(3), [](int n) { return n; }, options);
    EXPECT_EQ(results.failures().items(), 3u);
    EXPECT_EQ(results[2].error().cause, Cause::not_started);
    EXPECT_EQ(results[2].error().error->kind, ErrorKind::invalid_argument);
    return results[2].error().error->hint;
  };
  EXPECT_EQ(why({.timeout = -1ms}), "timeout is negative");
  EXPECT_EQ(why({.grace = -1ms}), "grace is negative");
  EXPECT_EQ(why({.workers = -1}), "workers is -1, less than 0");
  EXPECT_EQ(why({.retries = -1}), "retries is -1, less than 0");
  EXPECT_EQ(why({.total_timeout = -1ms}), "total_timeout is negative");
  EXPECT_EQ(why({.crash_retries = -2}), "crash_retries is -2, less than -1");
  EXPECT_EQ(why({.stop = {.share = 7}}), "stop.share is not between 0 and 1");
}

TEST_F(MapOptionsTest, AFailureForAllOfThemNamesItsItem) {
  const auto odd_fails = [](int n) {
    if (n == 5) throw std::runtime_error("odd");
    return n;
  };
  const auto all = map(numbers(9), odd_fails).values();
  EXPECT_EQ(all.error().item, 5u);
  EXPECT_EQ(all.error().to_string().find("item 5: 'a function' threw"), 0u);
}

TEST_F(MapOptionsTest, B141_AllWorkersAreUsed) {
  SharedCounters met(1);
  // Each worker's first item waits for the others: so all of them have one.
  const auto results = map(numbers(4),
                           [&](int) {
                             met[0].fetch_add(1);
                             while (met[0].load() < 4) ::sched_yield();
                             return ::getpid();
                           },
                           {.workers = 4});
  EXPECT_EQ(distinct(results).size(), 4u);
}

TEST_F(MapOptionsTest, B118_MoreWorkersThanCpusRunAtOnce) {
  const int count = 2 * static_cast<int>(std::thread::hardware_concurrency()) + 2;
  SharedCounters met(1);
  const auto results = map(numbers(count),
                           [&](int) {
                             met[0].fetch_add(1);
                             while (met[0].load() < count) ::sched_yield();
                             return true;
                           },
                           {.workers = count});
  EXPECT_TRUE(results.all_succeeded());
}

TEST_F(MapOptionsTest, B162_WorkerCountComesFromTheEnvironment) {
  ::setenv("TINE_WORKERS", "3", 1);
  SharedCounters met(1);
  const auto results = map(numbers(3), [&](int) {
    met[0].fetch_add(1);
    while (met[0].load() < 3) ::sched_yield();
    return ::getpid();
  });
  ::unsetenv("TINE_WORKERS");
  EXPECT_EQ(distinct(results).size(), 3u);
}

TEST_F(MapOptionsTest, AnEnvironmentThatSaysNoNumberIsRefusedByName) {
  ::setenv("TINE_WORKERS", "many", 1);
  const auto refused = map(numbers(3), [](int n) { return n; });
  const auto pool = Pool::start();
  const auto told = map(numbers(3), [](int n) { return n; }, {.workers = 1});
  ::setenv("TINE_WORKERS", "", 1);
  const auto empty = map(numbers(3), [](int n) { return n; });
  ::unsetenv("TINE_WORKERS");
  EXPECT_EQ(refused[0].error().error->kind, ErrorKind::invalid_argument);
  EXPECT_NE(refused[0].error().to_string().find("TINE_WORKERS in the environment is 'many'"),
            std::string::npos)
      << refused[0].error().to_string();
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().kind, ErrorKind::invalid_argument);
  EXPECT_TRUE(told.all_succeeded()) << "where the options say how many, it does not matter";
  EXPECT_TRUE(empty.all_succeeded());
}

TEST_F(MapOptionsTest, B122_AnyChunkGivesTheSameResults) {
  for (const std::size_t chunk : {1u, 6u, 40u, 50u}) {
    const auto results =
        map(numbers(40), [](int n) { return n + 1; }, {.workers = 3, .chunk = chunk});
    for (std::size_t i = 0; i < 40; ++i) ASSERT_EQ(results[i].value(), static_cast<int>(i) + 1);
  }
}

/// Runs quickly once two processes have run items of it.
pid_t linger_until_shared(SharedCounters& pids) {
  const pid_t self = ::getpid();
  int nobody = 0;
  if (!pids[0].compare_exchange_strong(nobody, self) && nobody != self) pids[1] = self;
  if (pids[1].load() == 0) ::usleep(100);
  return self;
}

TEST_F(MapOptionsTest, ItemsLeftInABatchAreSharedWithTheIdle) {
  SharedCounters pids(2);
  const auto results = map(numbers(10'000), [&](int) { return linger_until_shared(pids); },
                           {.workers = 2, .chunk = 10'000});
  EXPECT_EQ(distinct(results).size(), 2u);
}

TEST_F(MapOptionsTest, SlowItemsAtTheEndAreShared) {
  SharedCounters pids(2);
  const auto results = map(
      numbers(10'000), [&](int n) { return n < 5'000 ? ::getpid() : linger_until_shared(pids); },
      {.workers = 2});
  EXPECT_NE(pids[1].load(), 0);
  EXPECT_TRUE(results.all_succeeded());
}

TEST_F(MapOptionsTest, ParentThatHelpsRunsItems) {
  const pid_t self = ::getpid();
  SharedCounters met(1);
  const auto results = map(numbers(2),
                           [&](int) {
                             met[0].fetch_add(1);
                             while (met[0].load() < 2) ::sched_yield();
                             return ::getpid();
                           },
                           {.workers = 2, .parent_helps = true});
  EXPECT_EQ(distinct(results).size(), 2u);
  EXPECT_TRUE(distinct(results).contains(self));
}

TEST_F(MapOptionsTest, ParentThatHelpsReportsExceptionsOfItsItemsToo) {
  const auto results = map(numbers(100),
                           [](int n) -> std::string {
                             if (n % 2 == 0) throw std::runtime_error("even " + std::to_string(n));
                             return std::to_string(n);
                           },
                           {.workers = 2, .parent_helps = true});
  for (std::size_t i = 0; i < 100; ++i) {
    ASSERT_EQ(results[i].has_value(), i % 2 == 1) << i;
    if (i % 2 == 1) {
      EXPECT_EQ(*results[i], std::to_string(i));
    } else {
      EXPECT_EQ(results[i].error().message, "even " + std::to_string(i));
    }
  }
}

TEST_F(MapOptionsTest, B154_NestedMapsWork) {
  const auto results =
      map(numbers(4),
          [](int n) {
            auto inner = map(numbers(3), [n](int m) { return 10 * n + m; });
            return std::pair(inner.insights().workers.size(), inner.values().value());
          },
          {.workers = 2});
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(results[i].value().first, 1u);
    const int n = 10 * static_cast<int>(i);
    EXPECT_EQ(results[i].value().second, (std::vector<int>{n, n + 1, n + 2}));
  }
}

TEST_F(MapOptionsTest, StrictIsolationGivesTheSameResults) {
  for (const int workers : {1, 3, 8}) {
    const MapOptions strict{.workers = workers, .isolation = Isolation::strict};
    const auto plain = map(numbers(1000), [](int n) { return 2 * n; }, strict);
    const auto texts = map(
        numbers(1000),
        [](int n) {
          if (n % 100 == 99) throw std::runtime_error("hundredth");
          return std::to_string(n);
        },
        strict);
    for (std::size_t i = 0; i < 1000; ++i) {
      ASSERT_EQ(plain[i].value(), 2 * static_cast<int>(i));
      ASSERT_EQ(texts[i].has_value(), i % 100 != 99);
    }
  }
}

TEST_F(MapOptionsTest, StrictWorkersStopAtFailuresToo) {
  const auto results = map(numbers(100), [](int) -> int { throw std::runtime_error("x"); },
                           {.workers = 1, .stop = {.failures = 1}, .isolation = Isolation::strict});
  EXPECT_EQ(results.failures().items(), 100u);
}

TEST_F(MapOptionsTest, ProcessPerItemGivesEachItemAFreshOne) {
  static int runs_here = 0;
  const auto results = map(numbers(12), [](int) { return std::pair(::getpid(), ++runs_here); },
                           {.workers = 2, .isolation = Isolation::process_per_item});
  std::set<pid_t> pids;
  for (const auto& result : results) {
    EXPECT_EQ(result.value().second, 1);
    pids.insert(result.value().first);
  }
  EXPECT_EQ(pids.size(), 12u);
}

TEST_F(MapThreadsTest, ThreadsAreRefusedUnlessAllowed) {
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) ::sched_yield();
  });
  const auto refused = map(numbers(3), [](int n) { return n; });
  const auto allowed = map(numbers(3), [](int n) { return n; }, {.threads = ThreadPolicy::allow});
  over = true;
  other.join();
  ASSERT_EQ(refused.failures().items(), 3u);
  EXPECT_EQ(refused[2].error().cause, Cause::not_started);
  EXPECT_EQ(refused[2].error().error.value().kind, ErrorKind::threads_running);
  EXPECT_TRUE(allowed.all_succeeded());
}

// ---- Random numbers ----

TEST_F(MapOptionsTest, B159_RandomNumbersDependOnSeedAndItemAlone) {
  SharedCounters tried(1);
  const auto draw = [&](int n) {
    const auto first = rng()();
    if (n == 50 && tried[0]++ == 0) throw std::runtime_error("once");
    return std::pair(first, rng()());
  };
  const auto expected = map(numbers(200), draw, {.workers = 1, .retries = 1, .seed = 42}).values();
  for (const int workers : {1, 3, 8}) {
    for (const std::size_t chunk : {0u, 1u, 7u}) {
      tried[0] = 0;
      const auto again =
          map(numbers(200), draw, {.workers = workers, .retries = 1, .chunk = chunk, .seed = 42});
      EXPECT_EQ(again.values().value(), expected.value());
    }
  }
  EXPECT_NE(map(numbers(200), draw, {.seed = 43}).values().value(), expected.value());
}

TEST_F(MapOptionsTest, B158_ItemsDrawDifferentNumbersAndMapsToo) {
  const auto draw = [](int) { return rng()(); };
  const auto first = map(numbers(100), draw, {.workers = 2}).values().value();
  const auto second = map(numbers(100), draw, {.workers = 2}).values().value();
  std::set<std::uint64_t> all(first.begin(), first.end());
  all.insert(second.begin(), second.end());
  EXPECT_EQ(all.size(), 200u);
}

// ---- The rest ----

TEST_F(MapOptionsTest, WorkersAreReplacedAfterSoManyItems) {
  const auto results = map(numbers(10), [](int) { return ::getpid(); },
                           {.workers = 1, .recycle = {.after_items = 3}});
  EXPECT_EQ(distinct(results).size(), 4u);
  EXPECT_EQ(results.insights().deaths, 0u);
}

TEST_F(MapNoAsanTest, WorkersAreReplacedWhenTheyHaveGrown) {
  const auto results =
      map(numbers(6),
          [](int) {
            std::string* const kept = new std::string(std::size_t{64} << 20, 'x');
            ::usleep(kept->size() > 0 ? 3000 : 0);  // looks are milliseconds apart
            return ::getpid();
          },
          {.workers = 1, .recycle = {.above_rss = std::size_t{96} << 20}, .chunk = 1});
  EXPECT_GE(distinct(results).size(), 2u);
}

TEST_F(MapNoAsanTest, MemoryLimitIsOutOfMemoryOfItsItem) {
  const auto results = map(numbers(4),
                           [](int n) {
                             if (n == 1) return std::string(std::size_t{256} << 20, 'x').size();
                             return std::size_t{1};
                           },
                           {.memory = std::size_t{64} << 20, .workers = 2});
  EXPECT_EQ(results[1].error().cause, Cause::out_of_memory);
  EXPECT_EQ(results.failures().items(), 1u);
}

TEST_F(MapNoAsanTest, InheritedMemoryThatAnItemWritesCountsAgainstItsLimit) {
  std::string inherited(std::size_t{128} << 20, 'x');
  const auto results = map(numbers(3),
                           [&](int n) {
                             if (n != 1) return n;
                             for (std::size_t i = 0; i < inherited.size(); i += 4096)
                               inherited[i] = 'y';
                             for (;;) ::pause();
                           },
                           {.memory = std::size_t{32} << 20, .workers = 1, .chunk = 1});
  EXPECT_EQ(results[1].error().cause, Cause::out_of_memory);
  EXPECT_EQ(results.failures().items(), 1u);
}

TEST_F(MapOptionsTest, ProgressEndsWithAllItemsDone) {
  std::vector<MapProgress> seen;
  const auto results = map(numbers(50),
                           [](int n) {
                             if (n == 7) throw std::runtime_error("x");
                             return n;
                           },
                           {.workers = 2,
                            .progress = [&](const MapProgress& p) { seen.push_back(p); },
                            .progress_interval = 1ms});
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().items, 50u);
  EXPECT_EQ(seen.back().done, 50u);
  EXPECT_EQ(seen.back().failed, 1u);
  EXPECT_TRUE(std::ranges::is_sorted(seen, {}, &MapProgress::done));
}

TEST_F(MapOptionsTest, B030_StderrOfAFailedItemIsKept) {
  ::testing::internal::CaptureStderr();
  const auto results = map(numbers(3),
                           [](int n) {
                             if (n == 0) return n;
                             std::fprintf(stderr, "about to fail %d\n", n);
                             if (n == 1) throw std::runtime_error("x");
                             ::raise(SIGKILL);
                             return n;
                           },
                           {.workers = 1, .chunk = 1});
  const std::string passed_on = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(results[1].error().stderr_tail, "about to fail 1\n");
  EXPECT_EQ(results[2].error().stderr_tail, "about to fail 2\n");
  EXPECT_EQ(passed_on, "about to fail 1\nabout to fail 2\n");
}

TEST_F(MapOptionsTest, InsightsTellOfWorkersItemsAndDeaths) {
  const auto results = map(numbers(20),
                           [](int n) {
                             if (n == 5) ::raise(SIGKILL);
                             return n;
                           },
                           {.workers = 2, .name = "insight"});
  const MapInsights& insights = results.insights();
  std::size_t items = 0;
  for (const auto& worker : insights.workers) items += worker.items;
  EXPECT_EQ(items, 19u);
  EXPECT_EQ(insights.deaths, 1u);
  EXPECT_NE(insights.to_string().find("killed by signal 9 (SIGKILL)"), std::string::npos)
      << insights.to_string();
}

}  // namespace
}  // namespace tine
