// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "os/shared_region.h"
#include "support/clean_process_test.h"
#include "tine/map.h"
#include "work/map_worker.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::numbers;
using work::MapTable;
using work::WorkerSlot;
using work::WorkerStep;

/// What the hook in the workers is to do, in memory that they share.
struct Plan {
  std::atomic<int> step{-1};     ///< at which it acts
  std::atomic<int> passings{0};  ///< of that step are left before it does
  std::atomic<int> acted{0};
};

struct MapFaultsTest : test::CleanProcessTest {
  void SetUp() override {
    CleanProcessTest::SetUp();
    memory = os::SharedRegion::reserve(sizeof(Plan), 1).value();
    plan = new (memory.data()) Plan;
  }
  void TearDown() override {
    work::at_worker_step = nullptr;
    memory = {};
    CleanProcessTest::TearDown();
  }
  static inline os::SharedRegion memory{};
  static inline Plan* plan = nullptr;

  /// Whether this worker is the one that is to act, at this step, now.
  static bool is_due(WorkerStep step) noexcept {
    return plan->step.load() == static_cast<int>(step) && plan->passings.fetch_sub(1) == 1;
  }
};
struct MapFaultsSlowTest : MapFaultsTest {};

/// Items 7, 27, 47... throw, the others give their number.
int some_throw(int n) {
  if (n % 20 == 7) throw std::runtime_error("item " + std::to_string(n));
  return n;
}

template <class Results, class Expected>
void expect_one_death_at_most(const Results& results, const Expected& expected) {
  int killed = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const bool throws = i % 20 == 7;
    if (results[i]) {
      EXPECT_FALSE(throws) << i;
      EXPECT_EQ(*results[i], expected(static_cast<int>(i))) << i;
    } else if (results[i].error().cause == Cause::threw) {
      EXPECT_TRUE(throws) << i;
    } else {
      EXPECT_EQ(results[i].error().cause, Cause::signaled) << results[i].error().to_string();
      ++killed;
    }
  }
  EXPECT_LE(killed, 1);
}

TEST_F(MapFaultsTest, B174_WorkerKilledAtAnyStepOfItsLifeCostsOneItemAtMost) {
  work::at_worker_step = [](WorkerStep step, MapTable&, WorkerSlot&) noexcept {
    if (!is_due(step)) return;
    plan->acted = 1;
    ::raise(SIGKILL);
  };
  for (int step = 0; step < static_cast<int>(WorkerStep::kCount); ++step) {
    for (const int passing : {1, 2, 5}) {
      SCOPED_TRACE("step " + std::to_string(step) + ", passing " + std::to_string(passing));
      for (const bool records : {false, true}) {
        plan->step = step;
        plan->passings = passing;
        if (records) {
          expect_one_death_at_most(
              map(numbers(120), [](int n) { return std::to_string(some_throw(n)); },
                  {.workers = 3, .chunk = 4}),
              [](int n) { return std::to_string(n); });
        } else {
          expect_one_death_at_most(map(numbers(120), some_throw, {.workers = 3, .chunk = 4}),
                                   [](int n) { return n; });
        }
      }
    }
  }
  EXPECT_EQ(plan->acted, 1);
}

TEST_F(MapFaultsTest, B174_RetriesMakeUpForAKillAtAnyStep) {
  work::at_worker_step = [](WorkerStep step, MapTable&, WorkerSlot&) noexcept {
    if (is_due(step)) ::raise(SIGKILL);
  };
  for (int step = 0; step < static_cast<int>(WorkerStep::kCount); ++step) {
    plan->step = step;
    plan->passings = 2;
    const auto results =
        map(numbers(60), [](int n) { return n; }, {.workers = 2, .retries = 1, .chunk = 3});
    EXPECT_EQ(results.values().value(), numbers(60)) << step;
  }
}

TEST_F(MapFaultsTest, B174_KillBehindAFailureIsNoSecondFailureOfTheItem) {
  work::at_worker_step = [](WorkerStep step, MapTable&, WorkerSlot&) noexcept {
    if (is_due(step)) ::raise(SIGKILL);
  };
  for (int step = 0; step < static_cast<int>(WorkerStep::kCount); ++step) {
    for (const int passing : {1, 2}) {
      plan->step = step;
      plan->passings = passing;
      plan->acted = 0;
      const auto results = map(numbers(5),
                               [](int n) {
                                 if (n != 2) return n;
                                 ++plan->acted;
                                 throw std::runtime_error("always");
                               },
                               {.workers = 1, .retries = 1, .chunk = 2});
      EXPECT_EQ(results.failures().items(), 1u) << step;
      EXPECT_EQ(results[2].error().attempts, 2) << step;
      EXPECT_LE(plan->acted.load(), 2) << step;
    }
  }
}

/// Dies while it is being written.
struct HalfWritten {
  int item = 0;
  std::string text{};
};

}  // namespace
}  // namespace tine

template <>
struct tine::Codec<tine::HalfWritten> {
  static void encode(tine::Encoder& encoder, const tine::HalfWritten& value) {
    if (value.item == 1) {
      // The text is on its way into shared memory, its end is not.
      encoder.write(value.item, value.text);
      ::raise(SIGKILL);
    }
    encoder.write(value.item, value.text);
  }
  static tine::HalfWritten decode(tine::Decoder& decoder) {
    auto [item, text] = decoder.read<int, std::string>();
    return {item, std::move(text)};
  }
};

namespace tine {
namespace {

TEST_F(MapFaultsTest, WorkerKilledWhileItWritesAHugeResultCostsThatItem) {
  const auto results = map(
      numbers(4),
      [](int n) { return HalfWritten{n, std::string(n == 1 ? std::size_t{100} << 20 : 10, 'x')}; },
      {.workers = 2, .chunk = 4});
  EXPECT_EQ(results[1].error().cause, Cause::signaled);
  for (const std::size_t i : {0u, 2u, 3u}) {
    EXPECT_EQ(results[i].value().text, "xxxxxxxxxx");
    EXPECT_EQ(results[i].value().item, static_cast<int>(i));
  }
}

TEST_F(MapFaultsTest, WorkerThatScribblesOverItsSlotHarmsNoItem) {
  // At its first batch a worker fills its own slot with noise, and the parent's hand-outs, too.
  work::at_worker_step = [](WorkerStep step, MapTable& table, WorkerSlot& slot) noexcept {
    if (!is_due(step)) return;
    plan->acted = 1;
    std::mt19937_64 noise(static_cast<std::uint64_t>(plan->step.load()) + 1);
    for (auto& run : slot.runs) {
      run.begin = noise();
      run.done = noise();
    }
    slot.runs_used = static_cast<std::uint32_t>(noise());
    slot.limit = noise();
    slot.written = noise();
    slot.last_failure = noise();
    slot.range.put({static_cast<std::uint32_t>(noise()), static_cast<std::uint32_t>(noise())});
    table.stop = static_cast<std::uint32_t>(noise());
    table.more = static_cast<std::uint32_t>(noise());
    table.offers = static_cast<std::uint32_t>(noise());
    for (auto& range : table.handed_out) {
      range.put({static_cast<std::uint32_t>(noise()), static_cast<std::uint32_t>(noise())});
    }
    ::raise(SIGKILL);
  };
  for (int step = 0; step < static_cast<int>(WorkerStep::kCount); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    plan->step = step;
    plan->passings = 1;
    const auto results = map(numbers(120), [](int n) { return std::to_string(some_throw(n)); },
                             {.workers = 3, .chunk = 4});
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i]) {
        EXPECT_EQ(*results[i], std::to_string(i));
      } else if (i % 20 != 7) {
        EXPECT_TRUE(results[i].error().cause == Cause::signaled ||
                    results[i].error().cause == Cause::lost)
            << results[i].error().to_string();
      }
    }
    EXPECT_LE(results.failures().items(), 6u + 1u);
  }
}

TEST_F(MapFaultsTest, WorkerThatGoesOnAfterScribblingEndsAllTheSame) {
  work::at_worker_step = [](WorkerStep step, MapTable&, WorkerSlot& slot) noexcept {
    if (!is_due(step)) return;
    slot.range.put({5, 0xfffffff0});
    slot.interrupted = 0xffffffff;
  };
  for (int step = 0; step < static_cast<int>(WorkerStep::kCount); ++step) {
    plan->step = step;
    plan->passings = 1;
    const auto results = map(numbers(60), [](int n) { return n; }, {.workers = 2, .chunk = 3});
    EXPECT_EQ(results.values().value(), numbers(60)) << step;
  }
}

/// Every mapping of this process that its parent shares with it, but for what is `own`: filled with
/// noise. Gives how many there were.
int scribble_over_shared_memory(const void* own) {
  std::ifstream maps("/proc/self/maps");
  int found = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    char mode[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, mode) != 3) continue;
    const auto address = reinterpret_cast<unsigned long>(own);
    if (std::string(mode) != "rw-s" || (begin <= address && address < end)) continue;
    ++found;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): as /proc writes it
    std::memset(reinterpret_cast<void*>(begin), 0xa5, std::min(end - begin, 1ul << 16));
  }
  return found;
}

TEST_F(MapFaultsTest, StrictWorkerThatScribblesOverAllItCanReachSpoilsNoOther) {
  for (const int liar : {0, 40, 119}) {
    // With the memory of its own map, but not with that of this test.
    const auto lie = [&](int n) {
      if (n == liar) {
        plan->acted = scribble_over_shared_memory(plan);
        ::raise(SIGKILL);
      }
      return n;
    };
    const auto results =
        map(numbers(120), lie, {.workers = 3, .isolation = Isolation::strict, .chunk = 4});
    EXPECT_GE(plan->acted, 1);
    for (int i = 0; i < 120; ++i) {
      const auto result = results[static_cast<std::size_t>(i)];
      if (result) {
        EXPECT_EQ(*result, i);
      } else {
        EXPECT_EQ(i, liar) << result.error().to_string();
      }
    }
    const auto texts = map(numbers(120), [&](int n) { return std::to_string(lie(n)); },
                           {.workers = 3, .isolation = Isolation::strict});
    for (int i = 0; i < 120; ++i) {
      const auto result = texts[static_cast<std::size_t>(i)];
      EXPECT_TRUE(result ? *result == std::to_string(i) : i == liar) << i;
    }
  }
}

TEST_F(MapFaultsTest, IdleWorkersThatAreKilledAreReplaced) {
  work::at_worker_step = [](WorkerStep step, MapTable&, WorkerSlot&) noexcept {
    if (step == WorkerStep::took_handed_out && plan->passings.fetch_add(1) < 3) ::raise(SIGKILL);
  };
  const auto results = map(numbers(10), [](int n) { return n; }, {.workers = 2});
  EXPECT_EQ(results.values().value(), numbers(10));
  EXPECT_EQ(results.insights().deaths, 3u);
}

TEST_F(MapFaultsTest, SharedMemoryRefusedInTheMiddleOfAResultIsOutOfMemory) {
  test::in_a_fork([] {
    const auto results = map(numbers(3),
                             [](int n) {
                               if (n == 1) {
                                 // What is shared is no file of a file system, so RLIMIT_FSIZE is
                                 // no matter; RLIMIT_AS is none either, as the region has been
                                 // reserved. More than the region is.
                                 const rlimit none{0, 0};
                                 ::setrlimit(RLIMIT_FSIZE, &none);
                               }
                               return std::string(1000, 'x');
                             },
                             {.workers = 1});
    EXPECT_TRUE(results.all_succeeded());
  });
}

TEST_F(MapFaultsTest, B090_NoWorkerAndNoGrandchildSurvivesItsHost) {
  auto host = Command{test::host_program("map_items"), "3"}.out(Redirect::pipe()).start().value();
  std::vector<pid_t> pids;
  for (int i = 0; i < 3; ++i) {
    std::istringstream line(test::read_line(host.out()));
    pid_t worker = 0;
    pid_t grandchild = 0;
    line >> worker >> grandchild;
    ASSERT_GT(grandchild, 0);
    pids.insert(pids.end(), {worker, grandchild});
  }
  ASSERT_TRUE(host.send(Signal::kill));
  ASSERT_TRUE(host.wait());
  for (const pid_t pid : pids) {
    EXPECT_TRUE(test::eventually([&] { return !test::is_running(pid); })) << pid;
  }
}

TEST_F(MapFaultsTest, B045_WhatATimedOutItemHasStartedDiesWithIt) {
  std::atomic<int>& child = plan->acted;
  const auto results = map(numbers(2),
                           [&](int n) {
                             if (n == 1) {
                               const pid_t pid = ::fork();
                               if (pid == 0) {
                                 ::setsid();
                                 for (;;) ::pause();
                               }
                               child = pid;
                               for (;;) ::pause();
                             }
                             return n;
                           },
                           {.timeout = 50ms, .workers = 1});
  EXPECT_EQ(results[1].error().cause, Cause::timed_out);
  EXPECT_TRUE(test::eventually([&] { return !test::is_running(child); }));
}

TEST_F(MapFaultsTest, FloodOnStderrReplacesTheWorkerAndCostsNoItem) {
  ::testing::internal::CaptureStderr();
  const auto results =
      map(numbers(12),
          [](int n) {
            const std::string text(std::size_t{2} << 20, 'e');
            return n + (::write(STDERR_FILENO, text.data(), text.size()) > 0 ? 0 : 1000);
          },
          {.workers = 1, .chunk = 1});
  const std::string passed_on = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(results.values().value(), numbers(12));
  EXPECT_EQ(passed_on.size(), std::size_t{24} << 20);
  EXPECT_GE(results.insights().workers.size(), 3u);
}

TEST_F(MapFaultsTest, FailureOfLaterForksLeavesTheWorkToTheWorkersThereAre) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs another user to have no processes left";
  test::in_a_fork([] {
    ASSERT_EQ(::setresuid(60'001, 60'001, 60'001), 0);
    const rlimit few{2, 2};  // this process and one worker, besides the guardian of another user
    ASSERT_EQ(::setrlimit(RLIMIT_NPROC, &few), 0);
    const auto results = map(numbers(100), [](int n) { return n; }, {.workers = 8});
    for (const auto& result : results) {
      EXPECT_TRUE(result || result.error().cause == Cause::not_started);
    }
  });
}

}  // namespace
}  // namespace tine
