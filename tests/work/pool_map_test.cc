// SPDX-License-Identifier: MIT
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pool.h"
#include "tine/process.h"
#include "work/map_worker.h"
#include "work/pool_tasks.h"
#include "work/pool_worker.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;
using work::PoolStep;
using work::WorkerStep;

struct PoolMapTest : PoolFixture {};
struct PoolMapThreadsTest : PoolFixture {};

/// Whether all are there and in order, but those that `fails`.
template <class Fails>
void expect_twice(const MapResults<int>& results, std::size_t count, const Fails& fails) {
  ASSERT_EQ(results.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(results[i].has_value(), !fails(i))
        << i << (results[i] ? "" : ": " + results[i].error().to_string());
    ASSERT_EQ(results[i].value_or(0), fails(i) ? 0 : 2 * static_cast<int>(i));
  }
}

constexpr auto kAllFine = [](std::size_t) { return false; };

// ---- What travels ----

TEST_F(PoolMapTest, ManyItemsAreInOrderAndShareTheirMemory) {
  Pool pool{{.workers = 2}};
  for (const int count : {0, 1, 2, 3, 1000, 300'000}) {
    const auto results = pool.map(numbers(count), twice);
    expect_twice(results, static_cast<std::size_t>(count), kAllFine);
    if (count == 0) continue;
    EXPECT_EQ(&*results[0] + count - 1, &*results[static_cast<std::size_t>(count) - 1]);
  }
  EXPECT_EQ(pool.stats().done, 301'006u);
  EXPECT_EQ(pool.stats().failed, 0u);
}

TEST_F(PoolMapTest, ResultsStayWhenOthersComeAndThePoolGoes) {
  MapResults<int> first;
  MapResults<std::string> texts;
  {
    Pool pool{{.workers = 2}};
    first = pool.map(numbers(5000), twice);
    texts = pool.map(numbers(5000), [](int n) { return std::string(20, 'a') + std::to_string(n); });
    for (int i = 0; i < 5; ++i) (void)pool.map(numbers(5000), [](int n) { return -n; });
  }
  expect_twice(first, 5000, kAllFine);
  EXPECT_EQ(*texts[4999], std::string(20, 'a') + "4999");
}

TEST_F(PoolMapTest, RangesThatCanBeWalkedOnlyOnce) {
  Pool pool{{.workers = 2}};
  std::istringstream text("3 4 5 6");
  const auto read = pool.map(std::views::istream<int>(text), twice);
  EXPECT_EQ(std::move(read).values().value(), (std::vector<int>{6, 8, 10, 12}));
  const auto made = pool.map(std::views::iota(0, 100) | std::views::transform([](int n) {
                               return std::string(static_cast<std::size_t>(n), 'x');
                             }),
                             [](const std::string& s) { return s.size(); });
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(*made[i], i);
  const char* const words[] = {"a", "bc", ""};
  EXPECT_EQ(pool.map(words, [](const std::string& s) { return s + s; }).values().value(),
            (std::vector<std::string>{"aa", "bcbc", ""}));
}

TEST_F(PoolMapTest, ItemsOfAllSizes) {
  Pool pool{{.workers = 2}};
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < 40; ++i) {
    inputs.emplace_back(i % 8 == 7 ? std::size_t{3} << 20 : i % 3 == 0 ? 0 : i, 'a');
  }
  const auto results = pool.map(inputs, [](std::string text) { return text + text; });
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_TRUE(results[i]) << results[i].error().to_string();
    ASSERT_EQ(*results[i], inputs[i] + inputs[i]) << i;
  }
}

TEST_F(PoolMapTest, ItemsAndResultsThatAreEncoded) {
  Pool pool{{.workers = 2}};
  std::vector<std::vector<std::string>> inputs;
  for (int i = 0; i < 500; ++i) inputs.push_back({std::to_string(i), "x"});
  const auto results = pool.map(inputs, [](std::vector<std::string> words) {
    words.emplace_back("more");
    return words;
  });
  for (std::size_t i = 0; i < 500; ++i) {
    EXPECT_EQ(*results[i], (std::vector<std::string>{std::to_string(i), "x", "more"}));
  }
}

/// Cannot be copied; a negative one cannot travel.
struct MoveOnly {
  std::unique_ptr<int> number;
};

}  // namespace

template <>
struct Codec<MoveOnly> {
  static void encode(Encoder& encoder, const MoveOnly& value) {
    if (*value.number < 0) return encoder.fail("negative");
    encoder.write(*value.number);
  }
  static MoveOnly decode(Decoder& decoder) { return {std::make_unique<int>(decoder.read<int>())}; }
};

namespace {

TEST_F(PoolMapTest, ItemsThatOnlyMoveAndOneThatCannotTravel) {
  Pool pool{{.workers = 2}};
  std::vector<MoveOnly> inputs;
  for (const int number : {1, 2, -3, 4}) inputs.push_back({std::make_unique<int>(number)});
  const auto results = pool.map(inputs, [](MoveOnly held) {
    *held.number *= 10;
    return held;
  });
  EXPECT_EQ(*results[1]->number, 20);
  EXPECT_EQ(*results[3]->number, 40);
  ASSERT_FALSE(results[2]);
  EXPECT_EQ(results[2].error().cause, Cause::not_started);
  EXPECT_NE(results[2].error().to_string().find("negative"), std::string::npos);
}

// ---- Items that fail ----

TEST_F(PoolMapTest, ABadItemInABatchCostsItselfAlone) {
  Pool pool{{.workers = 2}};
  const auto results = pool.map(numbers(20'000), [](int n) {
    if (n % 5000 == 100) ::raise(SIGKILL);
    if (n % 5000 == 200) ::exit(3);
    if (n % 5000 == 300) throw std::runtime_error("no");
    if (n % 5000 == 400) ::abort();
    return 2 * n;
  });
  expect_twice(results, 20'000, [](std::size_t i) {
    return i % 5000 == 100 || i % 5000 == 200 || i % 5000 == 300 || i % 5000 == 400;
  });
  EXPECT_EQ(results[100].error().cause, Cause::signaled);
  EXPECT_EQ(results[200].error().cause, Cause::exited);
  EXPECT_EQ(results[200].error().status.value().code(), 3);
  EXPECT_EQ(results[300].error().cause, Cause::threw);
  EXPECT_EQ(results[300].error().message, "no");
  EXPECT_EQ(results[400].error().status.value().signal(), SIGABRT);
  EXPECT_EQ(pool.stats().deaths, 12u);
  EXPECT_EQ(pool.stats().failed, 16u);
  EXPECT_EQ(pool.stats().done, 20'000u);
}

TEST_F(PoolMapTest, WhatWasDoneBeforeADeathIsNotRunAgain) {
  Pool pool{{.workers = 1}};
  const auto results = pool.map(numbers(10'000), [](int n) {
    ++shared[kCount];
    if (n == 9000) ::raise(SIGKILL);
    return std::to_string(n);
  });
  EXPECT_EQ(shared[kCount].load(), 10'000);
  EXPECT_EQ(results.failures().items(), 1u);
  EXPECT_FALSE(results[9000]);
  EXPECT_EQ(*results[8999], "8999");
}

TEST_F(PoolMapTest, ManyItemsThatThrow) {
  Pool pool{{.workers = 2}};
  const auto results = pool.map(numbers(3000), [](int n) {
    if (n % 2 == 1) throw std::runtime_error(std::to_string(n));
    return 2 * n;
  });
  expect_twice(results, 3000, [](std::size_t i) { return i % 2 == 1; });
  EXPECT_EQ(results[2999].error().message, "2999");
  EXPECT_EQ(pool.stats().deaths, 0u);
}

TEST_F(PoolMapTest, TimeoutIsOfAnItemAndNotOfItsBatch) {
  Pool pool{{.timeout = 200ms, .workers = 2}};
  // All of them together take longer.
  const auto results = pool.map(numbers(2000), [](int n) {
    ::usleep(300);
    if (n == 1500) hang();
    return 2 * n;
  });
  expect_twice(results, 2000, [](std::size_t i) { return i == 1500; });
  EXPECT_EQ(results[1500].error().cause, Cause::timed_out);
  EXPECT_NE(results[1500].error().backtrace.find("pause"), std::string::npos);
}

TEST_F(PoolMapTest, RetriesAreOfItems) {
  Pool pool{{.workers = 2, .retries = 2}};
  const auto results = pool.map(numbers(1000), [](int n) {
    if (n < 500 || n >= 504) return 2 * n;
    const int attempt = ++shared[10 + static_cast<std::size_t>(n - 500)];
    if (n == 500 && attempt < 3) throw std::runtime_error("not yet");
    if (n == 501 && attempt < 3) ::raise(SIGKILL);
    if (n == 502) throw std::runtime_error("never");
    if (n == 503) ::raise(SIGKILL);
    return 2 * n;
  });
  expect_twice(results, 1000, [](std::size_t i) { return i == 502 || i == 503; });
  EXPECT_EQ(results[502].error().attempts, 3);
  EXPECT_EQ(results[503].error().attempts, 3);
  for (std::size_t i = 10; i < 14; ++i) EXPECT_EQ(shared[i].load(), 3);
  EXPECT_EQ(pool.map(numbers(3), [](int) -> int { throw 1; }, {.retries = 0})[1].error().attempts,
            1);
}

TEST_F(PoolMapTest, WhatAnItemWroteToStderrIsItsOwn) {
  Pool pool{{.workers = 1}};
  const auto results = pool.map(numbers(1000), [](int n) {
    if (n > 990) std::fprintf(stderr, "item %d\n", n);
    if (n == 995) throw std::runtime_error("no");
    if (n == 997) ::raise(SIGKILL);
    return 2 * n;
  });
  expect_twice(results, 1000, [](std::size_t i) { return i == 995 || i == 997; });
  EXPECT_NE(results[995].error().stderr_tail.find("item 995"), std::string::npos);
  EXPECT_NE(results[997].error().stderr_tail.find("item 997"), std::string::npos);
}

// ---- Workers that die anywhere ----

template <class Step>
void expect_one_item_lost_at_each() {
  for (int step = 0; step < static_cast<int>(Step::kCount); ++step) {
    for (const int turn : {1, 2, 5}) {
      const DeadlyStep deadly(static_cast<Step>(step), turn);
      Pool pool{{.workers = 2}};
      const auto results = pool.map(numbers(3000), [](int n) {
        if (n == 7) throw std::runtime_error("no");
        return std::to_string(n);
      });
      SCOPED_TRACE("step " + std::to_string(step) + ", turn " + std::to_string(turn));
      EXPECT_LE(results.failures().items(), 2u);
      EXPECT_FALSE(results[7]);
      for (std::size_t i = 0; i < 3000; ++i) {
        if (results[i]) {
          ASSERT_EQ(*results[i], std::to_string(i));
        } else if (i != 7) {
          EXPECT_EQ(results[i].error().cause, Cause::signaled);
        }
      }
    }
  }
}

TEST_F(PoolMapTest, B174_KilledAnywhereAWorkerCostsAtMostTheItemItHad) {
  expect_one_item_lost_at_each<PoolStep>();
  expect_one_item_lost_at_each<WorkerStep>();
}

TEST_F(PoolMapTest, InsightsTellWhoWorkedAndHowItEnded) {
  Pool pool{{.workers = 1}};
  const pid_t worker = pool.submit(own_pid).get().value();
  const auto results = pool.map(numbers(3), [](int n) {
    if (n == 1) ::raise(SIGKILL);
    return n;
  });
  const auto& workers = results.insights().workers;
  ASSERT_GE(workers.size(), 2u);
  EXPECT_EQ(workers.front().pid, worker);
  EXPECT_EQ(workers.front().end, "killed by signal 9 (SIGKILL)");
}

TEST_F(PoolMapTest, WorkersThatAreReplacedLoseNothing) {
  Pool pool{{.workers = 2, .recycle = {.after_tasks = 70}}};
  expect_twice(pool.map(numbers(1000), twice), 1000, kAllFine);
  EXPECT_EQ(pool.stats().deaths, 0u);
  Pool one{{.workers = 1, .recycle = {.after_tasks = 3}}};
  const auto pids = one.map(numbers(7), [](int) { return ::getpid(); }).values().value();
  EXPECT_EQ(pids[0], pids[2]);
  EXPECT_NE(pids[2], pids[3]);
  EXPECT_NE(pids[5], pids[6]);
}

TEST_F(PoolMapTest, AFailingInitializerFailsAllItems) {
  Pool pool{{.workers = 2, .initializer = [] { throw std::runtime_error("no model"); }}};
  const auto results = pool.map(numbers(100), twice);
  EXPECT_EQ(results.failures().items(), 100u);
  EXPECT_NE(results[99].error().to_string().find("no model"), std::string::npos);
}

TEST_F(PoolMapTest, ShutDownOrMovedPoolsRunNothing) {
  Pool pool{{.workers = 1}};
  const Pool taken = std::move(pool);
  EXPECT_EQ(pool.map(numbers(2), twice)[1].error().cause, Cause::not_started);  // NOLINT: moved
  Pool over{{.workers = 1}};
  over.shutdown();
  const auto refused = over.map(numbers(2), twice);
  EXPECT_EQ(refused[0].error().cause, Cause::not_started);
  EXPECT_NE(refused[1].error().to_string().find("shut down"), std::string::npos);
  EXPECT_TRUE(over.map(numbers(0), twice).empty());
}

TEST_F(PoolMapTest, InsightsTellOfPartsRetriesAndDeaths) {
  Pool pool{{.workers = 1, .retries = 1}};
  const auto results = pool.map(numbers(100), [](int n) {
    if (n == 50 && ++shared[kCount] == 1) ::raise(SIGKILL);
    return 2 * n;
  });
  expect_twice(results, 100, kAllFine);
  EXPECT_EQ(results.insights().deaths, 1u);
  EXPECT_EQ(results.insights().retries, 1u);
  std::size_t items = 0;
  for (const WorkerInsight& part : results.insights().workers) items += part.items;
  EXPECT_EQ(items, 100u);
}

TEST_F(PoolMapTest, MemoryAndSlotsAreUsedAgain) {
  Pool pool{{.workers = 2, .recycle = {.after_tasks = 5}}};
  for (int i = 0; i < 40; ++i) {
    const auto results = pool.map(numbers(60), [](int n) {
      if (n == 30) ::raise(SIGKILL);
      return std::string(static_cast<std::size_t>(n) * 100, 'x');
    });
    ASSERT_EQ(results.failures().items(), 1u);
  }
}

// ---- Beside other threads ----

TEST_F(PoolMapThreadsTest, TasksOfAHigherPriorityComeInBetween) {
  Pool pool{{.workers = 1}};
  std::thread other([&] {
    wait_for(kBegun, 1);
    EXPECT_TRUE(pool.submit({.priority = Priority::high}, [] { shared[kGate] = 1; }).get());
  });
  const auto seen = pool.map(numbers(5000), [](int) {
    ++shared[kBegun];
    if (shared[kGate].load() == 0) ::usleep(1000);
    return shared[kGate].load();
  });
  other.join();
  EXPECT_TRUE(seen.all_succeeded());
  EXPECT_EQ(*seen[4999], 1);
}

TEST_F(PoolMapThreadsTest, ShutdownWithoutDrainingCancelsTheRest) {
  Pool pool{{.workers = 2}};
  std::thread other([&] {
    wait_for(kBegun, 2);
    pool.shutdown(Drain::no);
  });
  const auto results = pool.map(numbers(1000), [](int n) {
    if (n < 10) return 2 * n;
    hang();
    return 0;
  });
  other.join();
  EXPECT_GE(results.failures().items(), 990u);
  EXPECT_EQ(results[999].error().cause, Cause::cancelled);
}

TEST_F(PoolMapThreadsTest, ShutdownThatDrainsRunsAllItems) {
  Pool pool{{.workers = 2}};
  std::thread other([&] {
    wait_for(kBegun, 2);
    pool.shutdown();
  });
  const auto results = pool.map(numbers(200), [](int n) {
    ++shared[kBegun];
    ::usleep(100);
    return 2 * n;
  });
  other.join();
  expect_twice(results, 200, kAllFine);
}

TEST_F(PoolMapTest, RulesOfRetriesAreThoseOfTheTask) {
  Pool pool{{.workers = 2, .retries = 3}};
  const auto throws_at_first = [](int n) {
    if (n == 5 && ++shared[kCount] < 3) throw n;
    return 2 * n;
  };
  static std::vector<int> asked;
  asked.clear();
  TaskOptions options;
  options.retry_delay = [](int attempt) -> std::chrono::nanoseconds {
    asked.push_back(attempt);
    return 1ms;
  };
  expect_twice(pool.map(numbers(10), throws_at_first, options), 10, kAllFine);
  EXPECT_EQ(asked, (std::vector{2, 3}));
  shared[kCount] = 0;
  options.retry_if = [](const Failure&) { return false; };
  const auto results = pool.map(numbers(10), throws_at_first, options);
  EXPECT_EQ(results.failures().items(), 1u);
  EXPECT_EQ(shared[kCount], 1);
}

TEST_F(PoolMapThreadsTest, AKilledKeeperCostsWhatHasNoOutcome) {
  Pool pool{{.workers = 2}};
  const pid_t keeper = process_info(pool.submit(own_pid).get().value()).value().parent;
  std::thread other([&] {
    wait_for(kBegun, 2);
    ::kill(keeper, SIGKILL);
  });
  const auto results = pool.map(numbers(100), [](int) { hang(); });
  other.join();
  EXPECT_EQ(results.failures().items(), 100u);
  EXPECT_EQ(results[99].error().cause, Cause::lost);
  expect_twice(pool.map(numbers(100), twice), 100, kAllFine);
}

TEST_F(PoolMapThreadsTest, ManyMapsAtOnce) {
  Pool pool{{.workers = 3}};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&pool, thread] {
      for (int round = 0; round < 10; ++round) {
        const int count = 100 * (thread + 1);
        const auto results = pool.map(numbers(count), [](int n) {
          if (n == 77) ::raise(SIGKILL);
          return 2 * n;
        });
        expect_twice(results, static_cast<std::size_t>(count),
                     [](std::size_t i) { return i == 77; });
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

/// Throws when it is asked, in the host.
bool refuse_to_decide(const Failure&) { throw std::logic_error("no idea"); }

TEST_F(PoolMapTest, AnExceptionOfTheProgramComesOutAndEndsTheMap) {
  Pool pool{{.workers = 2}};
  TaskOptions options;
  options.retries = 1;
  options.retry_if = refuse_to_decide;
  const auto fail_at_first = [](int n) {
    if (n == 0) throw std::runtime_error("at first");
    return n;
  };
  for (int i = 0; i < 20; ++i) {
    EXPECT_THROW((void)pool.map(numbers(1000), fail_at_first, options), std::logic_error);
    EXPECT_EQ(pool.map(numbers(3), twice).values().value(), (std::vector<int>{0, 2, 4}));
  }
  EXPECT_EQ(pool.submit(twice, 4).get().value(), 8);
  EXPECT_EQ(pool.stats().queued, 0u);
}

}  // namespace
}  // namespace tine
