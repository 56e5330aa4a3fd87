// SPDX-License-Identifier: MIT
//
// What a map tries again, and what it gives up.

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/map.h"
#include "tine/random.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using test::numbers;
using test::SharedCounters;

struct MapAttemptsTest : test::CleanProcessTest {};
struct MapAttemptsThreadsTest : test::CleanProcessTest {};

// ---- Attempts ----

TEST_F(MapAttemptsTest, B063_RetriesCoverExceptionsAndDeathsAlike) {
  SharedCounters tried(6);
  const auto results = map(numbers(6),
                           [&](int n) {
                             const int attempt = ++tried[static_cast<std::size_t>(n)];
                             if (n == 1 && attempt < 3) throw std::runtime_error("not yet");
                             if (n == 2 && attempt < 3) ::raise(SIGKILL);
                             if (n == 3) throw std::runtime_error("never");
                             return attempt;
                           },
                           {.workers = 2, .retries = 2});
  EXPECT_EQ(results[0].value(), 1);
  EXPECT_EQ(results[1].value(), 3);
  EXPECT_EQ(results[2].value(), 3);
  EXPECT_EQ(results[3].error().attempts, 3);
  EXPECT_EQ(results.insights().retries, 6u);
  EXPECT_EQ(tried[3].load(), 3);
}

TEST_F(MapAttemptsTest, B061_PredicateDecidesWhatIsTriedAgain) {
  SharedCounters tried(2);
  const auto results = map(numbers(2),
                           [&](int n) -> int {
                             ++tried[static_cast<std::size_t>(n)];
                             throw std::runtime_error(n == 0 ? "transient" : "permanent");
                           },
                           {.workers = 1, .retries = 3, .retry_if = [](const Failure& f) {
                              return f.message == "transient";
                            }});
  EXPECT_EQ(tried[0].load(), 4);
  EXPECT_EQ(tried[1].load(), 1);
  EXPECT_EQ(results.failures().items(), 2u);
}

TEST_F(MapAttemptsTest, CrashesHaveALimitOfTheirOwn) {
  SharedCounters tried(2);
  const auto results = map(numbers(2),
                           [&](int n) -> int {
                             ++tried[static_cast<std::size_t>(n)];
                             if (n == 0) ::raise(SIGKILL);
                             throw std::runtime_error("thrown");
                           },
                           {.workers = 1, .retries = 3, .crash_retries = 1});
  EXPECT_EQ(tried[0].load(), 2);
  EXPECT_EQ(tried[1].load(), 4);
  EXPECT_EQ(results[0].error().attempts, 2);
}

TEST_F(MapAttemptsTest, B060_DelayedAttemptsComeAlsoWhenAllElseIsDone) {
  SharedCounters tried(3);
  std::vector<int> asked;
  const auto results = map(numbers(3),
                           [&](int n) {
                             if (++tried[static_cast<std::size_t>(n)] < 3)
                               throw std::runtime_error("again");
                             return n;
                           },
                           {.workers = 2, .retries = 2, .retry_delay = [&](int attempt) {
                              asked.push_back(attempt);
                              return 5ms;
                            }});
  EXPECT_TRUE(results.all_succeeded());
  EXPECT_EQ(asked.size(), 6u);
  EXPECT_EQ(std::ranges::count(asked, 2), 3);
}

TEST_F(MapAttemptsTest, ItemThatEndedInTimeIsNotLateBecauseWeWere) {
  SharedCounters pid(1);
  const auto results =
      map(numbers(2),
          [&](int n) -> int {
            if (n == 1) {
              pid[0] = ::getpid();
              ::_exit(7);
            }
            while (pid[0].load() == 0) ::sched_yield();
            throw std::runtime_error("keeps the parent busy");
          },
          {.timeout = 50ms, .workers = 2, .retries = 1, .retry_if = [&](const auto&) {
             EXPECT_TRUE(test::eventually([&] { return !test::is_running(pid[0]); }));
             ::usleep(100'000);  // beyond the timeout
             return false;
           }});
  EXPECT_EQ(results[1].error().cause, Cause::exited) << results[1].error().to_string();
}

TEST_F(MapAttemptsTest, RetriedItemOfATemporaryIsWhole) {
  SharedCounters tried(1);
  std::vector<std::unique_ptr<int>> in;
  in.push_back(std::make_unique<int>(7));
  const auto results = map(std::move(in),
                           [&](std::unique_ptr<int> n) {
                             if (++tried[0] == 1) throw std::runtime_error("used up");
                             return *n;
                           },
                           {.workers = 1, .retries = 1});
  EXPECT_EQ(results[0].value(), 7);
}

// ---- Ends before the end ----

TEST_F(MapAttemptsTest, B059_StopsAtSoManyFailures) {
  for (const std::size_t most : {1u, 3u}) {
    const auto results = map(numbers(1000),
                             [](int n) {
                               if (n % 10 == 0) throw std::runtime_error("tenth");
                               return n;
                             },
                             {.workers = 1, .stop = {.failures = most}, .chunk = 1});
    std::size_t threw = 0;
    std::size_t not_run = 0;
    for (const auto& result : results) {
      if (result) continue;
      (result.error().cause == Cause::threw ? threw : not_run) += 1;
    }
    EXPECT_GE(threw, most);
    EXPECT_GE(not_run, 1u);
    EXPECT_EQ(results[999].error().cause, Cause::cancelled);
    EXPECT_NE(results[999].error().message.find("stopped after"), std::string::npos);
  }
}

TEST_F(MapAttemptsTest, StopsAtTheFirstFailure) {
  const auto results = map(numbers(1000),
                           [](int n) {
                             if (n == 0) throw std::runtime_error("first");
                             return n;
                           },
                           {.workers = 1, .stop = kStopAtFirstFailure});
  EXPECT_EQ(results[0].error().cause, Cause::threw);
  EXPECT_EQ(results[999].error().cause, Cause::cancelled);
}

TEST_F(MapAttemptsTest, ManyReplacedWorkersKeepTheirTimeouts) {
  const auto results = map(numbers(60),
                           [](int n) {
                             if (n == 59)
                               for (;;) ::pause();
                             if (n % 2 == 0) ::raise(SIGKILL);
                             return n;
                           },
                           {.timeout = 100ms, .workers = 2});
  EXPECT_EQ(results[59].error().cause, Cause::timed_out);
  EXPECT_EQ(results.failures().items(), 31u);
}

TEST_F(MapAttemptsTest, StopsAtAShareOfFailures) {
  const auto results = map(numbers(100), [](int) -> int { throw std::runtime_error("x"); },
                           {.workers = 1, .stop = {.share = 0.1}, .chunk = 1});
  EXPECT_EQ(results.failures().items(), 100u);
  EXPECT_EQ(results[99].error().cause, Cause::cancelled);
}

TEST_F(MapAttemptsTest, B132_RunningSiblingsCanBeKilled) {
  SharedCounters waiting(1);
  const auto results = map(numbers(2),
                           [&](int n) -> int {
                             if (n == 1) {
                               waiting[0] = 1;
                               for (;;) ::pause();
                             }
                             while (waiting[0].load() == 0) ::sched_yield();
                             throw std::runtime_error("first");
                           },
                           {.workers = 2, .stop = {.failures = 1, .kill = true}});
  EXPECT_EQ(results[0].error().cause, Cause::threw);
  EXPECT_EQ(results[1].error().cause, Cause::cancelled);
}

TEST_F(MapAttemptsTest, B055_TotalTimeoutKeepsWhatIsDone) {
  const auto results = map(numbers(4),
                           [](int n) {
                             if (n >= 2)
                               for (;;) ::pause();
                             return n;
                           },
                           {.workers = 1, .total_timeout = 100ms, .chunk = 1});
  EXPECT_EQ(results[0].value(), 0);
  EXPECT_EQ(results[1].value(), 1);
  EXPECT_EQ(results[2].error().cause, Cause::timed_out);
  EXPECT_EQ(results[3].error().cause, Cause::timed_out);
}

TEST_F(MapAttemptsThreadsTest, TokenCancelsFromAnotherThread) {
  SharedCounters begun(1);
  CancelSource stop;
  std::thread other([&] {
    while (begun[0].load() == 0) ::sched_yield();
    stop.cancel();
  });
  const auto results =
      map(numbers(3),
          [&](int n) {
            if (n == 0) return n;
            begun[0] = 1;
            for (;;) ::pause();
          },
          {.grace = 0ms, .workers = 1, .threads = ThreadPolicy::allow, .cancel = stop.token()});
  other.join();
  EXPECT_EQ(results[0].value(), 0);
  EXPECT_EQ(results[1].error().cause, Cause::cancelled);
  EXPECT_EQ(results[2].error().cause, Cause::cancelled);
}

TEST_F(MapAttemptsTest, ProgressAsOftenAsCanBe) {
  int calls = 0;
  const auto results = map(
      numbers(100), [](int n) { return n; },
      {.workers = 2, .progress = [&](const MapProgress&) { ++calls; }, .progress_interval = 0ms});
  EXPECT_TRUE(results.failures().empty());
  EXPECT_GT(calls, 0);
}

TEST_F(MapAttemptsTest, ExceptionOfACallbackLeavesNothingBehind) {
  EXPECT_THROW((void)map(numbers(4),
                         [](int) -> int {
                           for (;;) ::pause();
                         },
                         {.workers = 2,
                          .progress = [](const MapProgress&) { throw std::logic_error("enough"); },
                          .progress_interval = 1ms}),
               std::logic_error);
}

}  // namespace
}  // namespace tine
