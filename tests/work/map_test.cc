// SPDX-License-Identifier: MIT
#include "tine/map.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <expected>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/zip.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::Entry;
using test::numbers;
using test::twice;

struct MapTest : test::CleanProcessTest {};

// ---- Results ----

TEST_F(MapTest, B120_EqualsTheSerialMap) {
  for (const int count : {1, 2, 3, 10, 1000, 100'000}) {
    const auto results = map(numbers(count), twice, {.workers = 3});
    ASSERT_EQ(results.size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(results[static_cast<std::size_t>(i)])
          << results[static_cast<std::size_t>(i)].error().to_string();
      ASSERT_EQ(*results[static_cast<std::size_t>(i)], 2 * i);
    }
  }
}

TEST_F(MapTest, B121_EmptyInputIsAnEmptyResultWithoutWorkers) {
  const auto results = map(std::vector<int>{}, twice);
  EXPECT_TRUE(results.empty());
  EXPECT_TRUE(results.insights().workers.empty());
  EXPECT_TRUE(results.values().value().empty());
}

TEST_F(MapTest, ResultsOfAllKindsComeBack) {
  const auto in = numbers(500);
  const auto strings = map(in, [](int n) { return std::to_string(n); }, {.workers = 2});
  const auto vectors =
      map(in, [](int n) { return std::vector<double>(static_cast<std::size_t>(n), n); });
  const auto entries = map(in, [](int n) { return Entry{std::to_string(n), {1.0 * n}}; });
  const auto flags = map(in, [](int n) { return n % 2 == 0; });
  const auto nothing = map(in, [](int) {});
  for (std::size_t i = 0; i < in.size(); ++i) {
    const int n = in[i];
    ASSERT_EQ(strings[i].value(), std::to_string(n));
    ASSERT_EQ(vectors[i].value(), std::vector<double>(i, n));
    ASSERT_EQ(entries[i].value(), (Entry{std::to_string(n), {1.0 * n}}));
    ASSERT_EQ(flags[i].value(), n % 2 == 0);
    ASSERT_TRUE(nothing[i]);
  }
}

TEST_F(MapTest, ExpectedOfTheFunctionIsAValue) {
  using Answer = std::expected<int, std::string>;
  const auto results = map(numbers(3), [](int n) -> Answer {
    if (n == 1) return std::unexpected("one");
    return n;
  });
  EXPECT_EQ(results[0].value(), Answer(0));
  EXPECT_EQ(results[1].value(), Answer(std::unexpected("one")));
}

TEST_F(MapTest, ValuesAreAllOrTheFirstFailure) {
  auto fine = map(numbers(5), twice);
  EXPECT_EQ(std::move(fine).values().value(), (std::vector<int>{0, 2, 4, 6, 8}));
  auto failed = map(numbers(5), [](int n) {
    if (n >= 3) throw std::runtime_error("item " + std::to_string(n));
    return n;
  });
  const auto all = std::move(failed).values();
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().message, "item 3");
  EXPECT_EQ(failed.values_or(-1), (std::vector<int>{0, 1, 2, -1, -1}));
}

TEST_F(MapTest, MoveOnlyResultsAreMovedOut) {
  auto results = map(numbers(3), [](int n) { return std::make_unique<int>(n); });
  auto all = std::move(results).values().value();
  EXPECT_EQ(*all[2], 2);
}

TEST_F(MapTest, ZipGoesAlongInputsAndResults) {
  const std::vector<std::string> in{"a", "bb", "ccc"};
  const auto sizes = map(in, [](const std::string& s) { return s.size(); });
  std::size_t seen = 0;
  for (const auto& [text, size] : zip(in, sizes)) {
    ASSERT_TRUE(size);
    EXPECT_EQ(*size, text.size());
    ++seen;
  }
  EXPECT_EQ(seen, 3u);
}

// ---- Inputs ----

TEST_F(MapTest, AnyRangeThatEndsWillDo) {
  const std::list<int> list{1, 2, 3};
  const std::map<std::string, int> table{{"a", 1}, {"b", 2}};
  std::istringstream words("alpha beta gamma");
  EXPECT_EQ(map(list, twice).values().value(), (std::vector<int>{2, 4, 6}));
  EXPECT_EQ(map(std::views::iota(0, 4), twice).values().value(), (std::vector<int>{0, 2, 4, 6}));
  EXPECT_EQ(map(table, [](const auto& entry) { return entry.second; }).values().value(),
            (std::vector<int>{1, 2}));
  EXPECT_EQ(map(std::views::istream<std::string>(words),
                [](const std::string& word) { return word.size(); })
                .values()
                .value(),
            (std::vector<std::size_t>{5, 4, 5}));
  EXPECT_EQ(map(numbers(10) | std::views::filter([](int n) { return n % 5 == 0; }), twice)
                .values()
                .value(),
            (std::vector<int>{0, 10}));
}

TEST_F(MapTest, B130_TuplesAreSeveralArguments) {
  const std::vector<std::pair<int, int>> pairs{{1, 2}, {3, 4}};
  EXPECT_EQ(map(pairs, [](int a, int b) { return a * b; }).values().value(),
            (std::vector<int>{2, 12}));
  const std::vector<int> some{1, 2, 3};
  const std::vector<int> fewer{10, 20};
  EXPECT_EQ(map(zip(some, fewer), [](int a, int b) { return a + b; }).values().value(),
            (std::vector<int>{11, 22}));
}

TEST_F(MapTest, MoveOnlyInputsOfATemporaryAreMovedInTheWorker) {
  std::vector<std::unique_ptr<int>> in;
  for (int i = 0; i < 5; ++i) in.push_back(std::make_unique<int>(i));
  const auto seen = map(in, [](const std::unique_ptr<int>& n) { return *n; });
  EXPECT_EQ(seen.values().value(), numbers(5));
  const auto moved = map(std::move(in), [](std::unique_ptr<int> n) { return *n; });
  EXPECT_EQ(moved.values().value(), numbers(5));
}

TEST_F(MapTest, WhatItemsChangeIsTheWorkersOwn) {
  std::vector<int> in{1, 2, 3};
  int sum = 0;
  const auto results = map(in, [&](int& n) { return sum += ++n; }, {.workers = 1});
  EXPECT_EQ(results[2].value(), 2 + 3 + 4);
  EXPECT_EQ(in, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(sum, 0);
}

TEST_F(MapTest, B123_ExceptionOfTheInputsComesOut) {
  auto range = std::views::iota(0, 10) | std::views::transform([](int n) {
                 if (n == 7) throw std::logic_error("no seven");
                 return n;
               }) |
               std::views::filter([](int) { return true; });
  EXPECT_THROW((void)map(range, twice), std::logic_error);
}

// ---- What goes wrong ----

TEST_F(MapTest, B009_ExceptionCostsItsItem) {
  const auto results = map(numbers(100), [](int n) {
    if (n % 10 == 3) throw std::out_of_range("no " + std::to_string(n));
    return n;
  });
  for (std::size_t i = 0; i < 100; ++i) {
    if (i % 10 == 3) {
      ASSERT_FALSE(results[i]);
      EXPECT_EQ(results[i].error().cause, Cause::threw);
      EXPECT_EQ(results[i].error().type, "std::out_of_range");
      EXPECT_EQ(results[i].error().message, "no " + std::to_string(i));
    } else {
      ASSERT_TRUE(results[i]) << i;
      EXPECT_EQ(*results[i], static_cast<int>(i));
    }
  }
  EXPECT_EQ(results.failures().items(), 10u);
  EXPECT_EQ(results.insights().deaths, 0u);
}

TEST_F(MapTest, B175_CrashCostsOnlyItsOwnItem) {
  for (const bool strings : {false, true}) {
    const auto crash = [](int n) {
      if (n == 3 || n == 17) ::raise(SIGKILL);
      return n;
    };
    const auto check = [](const auto& results, const auto& expected) {
      for (int i = 0; i < 20; ++i) {
        const auto& result = results[static_cast<std::size_t>(i)];
        if (i == 3 || i == 17) {
          ASSERT_FALSE(result);
          EXPECT_EQ(result.error().cause, Cause::signaled);
          EXPECT_EQ(result.error().status.value().signal(), SIGKILL);
        } else {
          ASSERT_TRUE(result) << i << ' ' << result.error().to_string();
          EXPECT_EQ(*result, expected(i));
        }
      }
      EXPECT_EQ(results.insights().deaths, 2u);
    };
    if (strings) {
      check(map(numbers(20), [&](int n) { return std::to_string(crash(n)); },
                {.workers = 2, .chunk = 5}),
            [](int i) { return std::to_string(i); });
    } else {
      check(map(numbers(20), crash, {.workers = 2, .chunk = 5}), [](int i) { return i; });
    }
  }
}

TEST_F(MapTest, B008_ExitIsAFailureOfItsItem) {
  const auto results = map(numbers(6), [](int n) {
    if (n == 2) std::exit(0);
    if (n == 4) ::_exit(3);
    return n;
  });
  EXPECT_EQ(results[2].error().cause, Cause::exited);
  EXPECT_EQ(results[2].error().status.value().code(), 0);
  EXPECT_EQ(results[4].error().status.value().code(), 3);
  EXPECT_EQ(results[5].value(), 5);
  EXPECT_EQ(results.failures().items(), 2u);
}

TEST_F(MapTest, CrashStormEndsWithEveryItemFailed) {
  const auto results = map(numbers(100),
                           [](int n) -> int {
                             ::raise(n % 2 ? SIGKILL : SIGTERM);
                             return n;
                           },
                           {.workers = 3});
  EXPECT_EQ(results.failures().items(), 100u);
  EXPECT_EQ(results.insights().deaths, 100u);
  for (const auto& result : results) EXPECT_EQ(result.error().cause, Cause::signaled);
}

TEST_F(MapTest, TimeoutCostsItsItemAndSaysWhere) {
  const auto results = map(numbers(10),
                           [](int n) {
                             if (n == 4) ::pause();
                             return n;
                           },
                           {.timeout = 50ms, .workers = 2});
  ASSERT_FALSE(results[4]);
  EXPECT_EQ(results[4].error().cause, Cause::timed_out);
  EXPECT_NE(results[4].error().backtrace.find("pause"), std::string::npos)
      << results[4].error().backtrace;
  EXPECT_EQ(results.failures().items(), 1u);
}

TEST_F(MapTest, B043_TermIgnoringItemDiesOfItsTimeout) {
  const auto results = map(numbers(4),
                           [](int n) {
                             if (n == 1) {
                               ::signal(SIGTERM, SIG_IGN);
                               for (;;) ::pause();
                             }
                             return n;
                           },
                           {.timeout = 20ms, .grace = 50ms, .workers = 2});
  EXPECT_EQ(results[1].error().cause, Cause::timed_out);
  EXPECT_EQ(results[1].error().status.value().signal(), SIGKILL);
  EXPECT_EQ(results.failures().items(), 1u);
}

TEST_F(MapTest, StoppedWorkerMeetsItsTimeout) {
  const auto results = map(numbers(4),
                           [](int n) {
                             if (n == 1) ::raise(SIGSTOP);
                             return n;
                           },
                           {.timeout = 50ms, .workers = 2});
  EXPECT_EQ(results[1].error().cause, Cause::timed_out);
  EXPECT_EQ(results.failures().items(), 1u);
}

TEST_F(MapTest, InitializerRunsOncePerWorkerBeforeItsItems) {
  const auto results = map(numbers(50),
                           with_state([] { return std::string("state"); },
                                      [](std::string& state, int n) {
                                        state += 'x';
                                        return state.substr(0, 5) + std::to_string(n);
                                      }),
                           {.workers = 2});
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(results[i].value(), "state" + std::to_string(i));
}

TEST_F(MapTest, B036_FailingInitializerFailsTheMapFast) {
  const auto results = map(numbers(50),
                           with_state([]() -> int { throw std::runtime_error("no model"); },
                                      [](int, int n) { return n; }),
                           {.workers = 2});
  EXPECT_EQ(results.failures().items(), 50u);
  EXPECT_EQ(results[49].error().cause, Cause::threw);
  EXPECT_NE(results[49].error().message.find("no model"), std::string::npos);
  EXPECT_LE(results.insights().workers.size(), 3u);
  const auto crashed =
      map(numbers(50), with_state([] { ::raise(SIGKILL); }, twice), {.workers = 2});
  EXPECT_EQ(crashed.failures().items(), 50u);
  EXPECT_EQ(crashed[0].error().cause, Cause::signaled);
}

}  // namespace
}  // namespace tine
