// SPDX-License-Identifier: MIT
#include "tine/lazy_map.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <ranges>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/random.h"
#include "tine/shared.h"

namespace tine {
namespace {

using namespace std::chrono_literals;

struct LazyMapTest : test::CleanProcessTest {};
struct LazyMapNoAsanTest : test::CleanProcessTest {};
struct LazyMapThreadsTest : test::CleanProcessTest {};

auto up_to(int count) { return std::views::iota(0, count); }

/// Numbers without a size or an index.
auto stream_of(int count) {
  return std::views::iota(0) | std::views::take_while([count](int n) { return n < count; });
}

TEST_F(LazyMapTest, B124_OrderedResultsComeInOrderAndEndOnce) {
  for (const std::size_t window : {1u, 3u, 100u}) {
    auto results =
        map_ordered(up_to(500), [](int n) { return 2 * n; }, {.workers = 3, .window = window});
    std::size_t expected = 0;
    for (auto& [index, result] : results) {
      ASSERT_EQ(index, expected++);
      ASSERT_EQ(result.value(), 2 * static_cast<int>(index));
    }
    EXPECT_EQ(expected, 500u);
    EXPECT_FALSE(results.next());
  }
}

TEST_F(LazyMapTest, B125_UnorderedResultsAreAPermutation) {
  std::vector<std::size_t> seen;
  for (auto& [index, result] :
       map_unordered(stream_of(500), [](int n) { return std::to_string(n); }, {.workers = 3})) {
    ASSERT_EQ(result.value(), std::to_string(index));
    seen.push_back(index);
  }
  std::ranges::sort(seen);
  EXPECT_EQ(seen.size(), 500u);
  EXPECT_EQ(seen.front(), 0u);
  EXPECT_EQ(seen.back(), 499u);
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
}

TEST_F(LazyMapTest, B121_EmptyInputHasNoResultAndNoWorker) {
  auto results = map_ordered(std::vector<int>{}, [](int n) { return n; });
  EXPECT_FALSE(results.next());
  EXPECT_FALSE(map_unordered(stream_of(0), [](int n) { return n; }).next());
}

TEST_F(LazyMapTest, B126_InputsWithoutASizeWork) {
  std::istringstream words("alpha beta gamma");
  std::vector<std::string> seen;
  for (auto& [index, result] : map_ordered(std::views::istream<std::string>(words),
                                           [](const std::string& word) { return word + '!'; })) {
    seen.push_back(result.value());
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"alpha!", "beta!", "gamma!"}));
}

TEST_F(LazyMapTest, B127_EndlessInputIsPulledNoFurtherThanTheWindow) {
  int pulled = 0;
  auto endless = std::views::iota(0) | std::views::transform([&](int n) {
                   pulled = std::max(pulled, n + 1);
                   return n;
                 }) |
                 std::views::filter([](int) { return true; });
  auto results = map_ordered(endless, [](int n) { return n + 1; }, {.workers = 2, .window = 10});
  for (int i = 0; i < 50; ++i) {
    auto next = results.next();
    ASSERT_EQ(next.value().result.value(), i + 1);
    EXPECT_LE(pulled, i + 1 + 10);
  }
}

TEST_F(LazyMapTest, NothingBeginsBeforeTheFirstResultIsAskedFor) {
  int pulled = 0;
  auto inputs = std::views::iota(0, 3) | std::views::transform([&](int n) {
                  ++pulled;
                  return n;
                }) |
                std::views::filter([](int) { return true; });
  auto results = map_ordered(inputs, [](int n) { return n; });
  EXPECT_EQ(pulled, 0);
}

TEST_F(LazyMapTest, LeavingTheLoopEarlyLeavesNothingBehind) {
  for (auto& [index, result] : map_unordered(std::views::iota(0),
                                             [](int n) {
                                               if (n > 5)
                                                 for (;;) ::pause();
                                               return n;
                                             },
                                             {.workers = 3})) {
    ASSERT_TRUE(result);
    if (index == 3) break;
  }
}

TEST_F(LazyMapTest, MoveOnlyAndLargeInputsComeByCopyOnWrite) {
  std::vector<std::unique_ptr<std::string>> inputs;
  for (int i = 0; i < 20; ++i) inputs.push_back(std::make_unique<std::string>(1000, 'a' + i));
  for (auto& [index, result] :
       map_ordered(std::move(inputs),
                   [](const std::unique_ptr<std::string>& s) { return s->substr(0, 2); })) {
    ASSERT_EQ(result.value(), std::string(2, static_cast<char>('a' + index)));
  }
}

TEST_F(LazyMapTest, B123_ExceptionOfTheInputsComesBehindTheResultsBeforeIt) {
  auto inputs = std::views::iota(0) | std::views::transform([](int n) {
                  if (n == 7) throw std::logic_error("no seven");
                  return n;
                }) |
                std::views::filter([](int) { return true; });
  auto results = map_ordered(inputs, [](int n) { return n; }, {.workers = 2, .window = 4});
  for (int i = 0; i < 7; ++i) ASSERT_EQ(results.next().value().result.value(), i);
  EXPECT_THROW((void)results.next(), std::logic_error);
  EXPECT_FALSE(results.next());
}

TEST_F(LazyMapTest, ExceptionsCrashesAndExitsCostTheirItem) {
  for (auto& [index, result] : map_ordered(stream_of(60),
                                           [](int n) {
                                             if (n % 20 == 3)
                                               throw std::out_of_range("item " + std::to_string(n));
                                             if (n % 20 == 7) ::raise(SIGKILL);
                                             if (n % 20 == 11) ::_exit(4);
                                             return std::to_string(n);
                                           },
                                           {.workers = 2})) {
    switch (index % 20) {
      case 3:
        ASSERT_EQ(result.error().cause, Cause::threw);
        EXPECT_EQ(result.error().message, "item " + std::to_string(index));
        break;
      case 7: ASSERT_EQ(result.error().cause, Cause::signaled); break;
      case 11: ASSERT_EQ(result.error().cause, Cause::exited); break;
      default: ASSERT_EQ(result.value(), std::to_string(index)) << index;
    }
  }
}

TEST_F(LazyMapTest, TimeoutCostsItsItem) {
  for (auto& [index, result] : map_ordered(up_to(6),
                                           [](int n) {
                                             while (n == 2) ::pause();
                                             return n;
                                           },
                                           {.timeout = 50ms, .workers = 2})) {
    if (index == 2) {
      EXPECT_EQ(result.error().cause, Cause::timed_out);
    } else {
      EXPECT_EQ(result.value(), static_cast<int>(index));
    }
  }
}

TEST_F(LazyMapTest, FailedItemsAreTriedAgain) {
  SharedSpan<std::atomic<int>> tried(3);
  std::vector<int> attempts;
  for (auto& [index, result] : map_ordered(up_to(3),
                                           [&](int n) {
                                             const int attempt =
                                                 ++tried[static_cast<std::size_t>(n)];
                                             if (attempt < 3 && n == 0)
                                               throw std::runtime_error("again");
                                             if (attempt < 3 && n == 1) ::raise(SIGKILL);
                                             if (n == 2) throw std::runtime_error("never");
                                             return attempt;
                                           },
                                           {.workers = 2, .retries = 2})) {
    attempts.push_back(result ? *result : -result.error().attempts);
  }
  EXPECT_EQ(attempts, (std::vector<int>{3, 3, -3}));
}

TEST_F(LazyMapTest, PredicateDecidesWhatIsTriedAgain) {
  SharedSpan<std::atomic<int>> tried(2);
  for (auto& [index, result] :
       map_ordered(up_to(2),
                   [&](int n) -> int {
                     ++tried[static_cast<std::size_t>(n)];
                     throw std::runtime_error(n == 0 ? "transient" : "permanent");
                   },
                   {.workers = 1, .retries = 2, .retry_if = [](const Failure& f) {
                      return f.message == "transient";
                    }})) {
    EXPECT_EQ(result.error().attempts, index == 0 ? 3 : 1);
  }
  EXPECT_EQ(tried[0], 3);
  EXPECT_EQ(tried[1], 1);
}

TEST_F(LazyMapTest, WhatATimedOutItemHasStartedDiesWithIt) {
  Shared<std::atomic<int>> child(0);
  for (auto& [index, result] : map_ordered(up_to(2),
                                           [&](int n) {
                                             if (n == 0) return 0;
                                             const pid_t pid = ::fork();
                                             if (pid > 0) *child = pid;
                                             for (;;) ::pause();
                                           },
                                           {.timeout = 50ms, .workers = 1})) {
    EXPECT_EQ(result.has_value(), index == 0);
    if (!result) {
      EXPECT_EQ(result.error().cause, Cause::timed_out);
    }
  }
  EXPECT_TRUE(test::eventually([&] { return !test::is_running(*child); }));
}

TEST_F(LazyMapTest, ItemsBehindALateOneAreInnocent) {
  // Each item is late, and ends as soon as it is asked where it is: its worker may be with the next
  // one by the time it is ended.
  std::size_t late = 0;
  for (auto& [index, result] : map_ordered(up_to(8),
                                           [](int n) {
                                             if (n % 2 == 0) ::pause();
                                             return n;
                                           },
                                           {.timeout = 30ms, .workers = 1})) {
    if (index % 2 == 1) {
      EXPECT_EQ(result.value(), static_cast<int>(index));
    } else {
      late += result ? 0 : 1;
    }
  }
  EXPECT_LE(late, 4u);
}

TEST_F(LazyMapNoAsanTest, MemoryLimitIsOutOfMemoryOfItsItem) {
  for (auto& [index, result] : map_ordered(
           up_to(3),
           [](int n) { return std::string(n == 1 ? std::size_t{256} << 20 : 1, 'x').size(); },
           {.memory = std::size_t{64} << 20, .workers = 1})) {
    EXPECT_EQ(result.has_value(), index != 1);
    if (!result) {
      EXPECT_EQ(result.error().cause, Cause::out_of_memory);
    }
  }
}

TEST_F(LazyMapTest, NameAndCoreDumpReachTheWorkers) {
  const auto seen = [](int) {
    rlimit core{};
    ::getrlimit(RLIMIT_CORE, &core);
    return std::pair(test::read_text("/proc/self/comm"), core.rlim_cur);
  };
  rlimit own{};
  ::getrlimit(RLIMIT_CORE, &own);
  for (auto& [index, result] : map_ordered(up_to(1), seen, {.name = "lazy", .core_dump = true})) {
    EXPECT_EQ(result.value(), (std::pair(std::string("lazy\n"), own.rlim_cur)));
  }
  const auto eager = map(up_to(1), seen, {.name = "eager"});
  EXPECT_EQ(eager[0].value().first, "eager\n");
  EXPECT_LE(eager[0].value().second, 1u);
}

TEST_F(LazyMapTest, FailingInitializerIsTheOutcomeOfAll) {
  std::size_t count = 0;
  for (auto& [index, result] :
       map_ordered(up_to(5),
                   with_state([]() -> int { throw std::runtime_error("no model"); },
                              [](int, int n) { return n; }),
                   {.workers = 2})) {
    ++count;
    EXPECT_EQ(result.error().cause, Cause::threw);
    EXPECT_NE(result.error().message.find("no model"), std::string::npos);
  }
  EXPECT_EQ(count, 5u);
}

TEST_F(LazyMapTest, CancelEndsTheRange) {
  CancelSource stop;
  std::size_t cancelled = 0;
  for (auto& [index, result] :
       map_ordered(std::views::iota(0),
                   [](int n) {
                     while (n > 2) ::pause();
                     return n;
                   },
                   {.grace = 0ms, .workers = 2, .window = 6, .cancel = stop.token()})) {
    if (index == 1) stop.cancel();
    if (!result) {
      EXPECT_EQ(result.error().cause, Cause::cancelled);
      ++cancelled;
    }
  }
  EXPECT_GE(cancelled, 1u);
}

TEST_F(LazyMapTest, LargeInputsAndResultsPassAndTheirMemoryIsReused) {
  auto inputs = std::views::iota(0, 12) | std::views::transform([](int n) {
                  return std::string(std::size_t{3} << 20, static_cast<char>('a' + n));
                }) |
                std::views::filter([](const auto&) { return true; });
  for (auto& [index, result] : map_ordered(inputs, [](const std::string& s) { return s + s; },
                                           {.workers = 2, .window = 3})) {
    ASSERT_EQ(result.value(), std::string(std::size_t{6} << 20, static_cast<char>('a' + index)));
  }
}

TEST_F(LazyMapTest, RandomNumbersDependOnSeedAndItemAlone) {
  const auto numbers_of = [](int workers) {
    std::vector<std::uint64_t> all;
    for (auto& [index, result] :
         map_ordered(up_to(50), [](int) { return rng()(); }, {.workers = workers, .seed = 9})) {
      all.push_back(result.value());
    }
    return all;
  };
  EXPECT_EQ(numbers_of(1), numbers_of(4));
}

TEST_F(LazyMapTest, WorkersAreReplacedAfterSoManyItems) {
  std::set<pid_t> pids;
  for (auto& [index, result] :
       map_ordered(up_to(9), [](int) { return ::getpid(); }, {.workers = 1, .recycle_after = 3})) {
    pids.insert(result.value());
  }
  EXPECT_EQ(pids.size(), 3u);
}

TEST_F(LazyMapTest, WhatItemsPrintIsWhole) {
  ::testing::internal::CaptureStdout();
  std::fflush(stdout);
  for (auto& [index, result] :
       map_ordered(up_to(4), [](int n) { std::printf("item %d\n", n); }, {.workers = 1})) {
    EXPECT_TRUE(result);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "item 0\nitem 1\nitem 2\nitem 3\n");
}

TEST_F(LazyMapTest, ReduceFoldsInOrder) {
  const auto text = map_reduce(
      up_to(10), [](int n) { return std::to_string(n); }, std::string(),
      [](std::string all, const std::string& one) { return all + one; }, {.workers = 3});
  EXPECT_EQ(text.value(), "0123456789");
  const auto failed = map_reduce(
      up_to(10),
      [](int n) {
        if (n == 4) throw std::runtime_error("four");
        return n;
      },
      0, std::plus<>());
  EXPECT_EQ(failed.error().message, "four");
}

TEST_F(LazyMapThreadsTest, ThreadsAreRefusedUnlessAllowed) {
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) ::sched_yield();
  });
  std::size_t refused = 0;
  for (auto& [index, result] : map_ordered(up_to(3), [](int n) { return n; })) {
    EXPECT_EQ(result.error().error.value().kind, ErrorKind::threads_running);
    ++refused;
  }
  std::size_t fine = 0;
  for (auto& [index, result] :
       map_ordered(up_to(3), [](int n) { return n; }, {.threads = ThreadPolicy::allow})) {
    fine += result.has_value() ? 1 : 0;
  }
  over = true;
  other.join();
  EXPECT_EQ(refused, 3u);
  EXPECT_EQ(fine, 3u);
}

}  // namespace
}  // namespace tine
