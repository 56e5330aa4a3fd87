// SPDX-License-Identifier: MIT
#include "tine/start_method.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/tine.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::add;
using test::eventually;

/// What has no captures: functions of their own, and lambdas without any.
std::string joined(const std::vector<std::string>& words, const std::string& between) {
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : between) + word;
  return all;
}
double sum(const std::vector<double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0);
}
std::string twice_text(const std::string& text) { return text + text; }
int of_this_process = 1;

/// The three, but for what only a fork has.
class StartMethodTest : public test::CleanProcessTest,
                        public testing::WithParamInterface<StartMethod> {
 protected:
  void SetUp() override {
    CleanProcessTest::SetUp();
    if (GetParam() == StartMethod::fork_server) {
      ASSERT_TRUE(ForkServer::start());
    }
  }
  void TearDown() override {
    ForkServer::stop();
    CleanProcessTest::TearDown();
  }
  [[nodiscard]] static CallOptions how() { return {.start = GetParam()}; }
};

std::string name_of(const testing::TestParamInfo<StartMethod>& method) {
  constexpr std::array kNames{"Fork", "ForkServer", "Spawn"};
  return kNames.at(static_cast<std::size_t>(method.param));
}

INSTANTIATE_TEST_SUITE_P(All, StartMethodTest,
                         testing::Values(StartMethod::fork, StartMethod::fork_server,
                                         StartMethod::spawn),
                         name_of);

// ---- Values ----

TEST_P(StartMethodTest, ArgumentsAndValuesTravel) {
  EXPECT_EQ(call(how(), add, 2, 3).value(), 5);
  EXPECT_EQ(call(how(), [](int n) { return n + 1; }, 1).value(), 2);
  EXPECT_EQ(call(how(), joined, std::vector<std::string>{"a", "b"}, ", ").value(), "a, b");
  EXPECT_TRUE(call(how(), [] {}));
}

TEST_P(StartMethodTest, LargeArgumentsAndValuesTravel) {
  const std::vector<double> million(1'000'000, 0.5);
  EXPECT_EQ(call(how(), sum, million).value(), 500'000);
  const auto back = call(how(), [](std::size_t n) { return std::string(n, 'x'); }, 10'000'000);
  EXPECT_EQ(back.value().size(), 10'000'000);
  const auto seen = call_in_place(how(), [](int n) { return std::vector<int>(n, 7); }, 1'000'000);
  EXPECT_EQ(seen.value()[999'999], 7);
}

TEST_P(StartMethodTest, OnlyAForkSeesWhatWasChangedSince) {
  of_this_process = 999;
  const int seen = call(how(), [] { return of_this_process; }).value();
  EXPECT_EQ(seen, GetParam() == StartMethod::fork ? 999 : 1);
  of_this_process = 1;
}

// ---- How a call goes wrong ----

TEST_P(StartMethodTest, WhatIsThrownComesBack) {
  const auto result = call(how(), [] { throw std::runtime_error("no"); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::threw);
  EXPECT_EQ(result.error().type, "std::runtime_error");
  EXPECT_EQ(result.error().message, "no");
}

TEST_P(StartMethodTest, ExitIsAnHonestFailure) {
  const auto result = call(how(), [] { std::exit(3); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::exited);
  EXPECT_EQ(result.error().status.value().code(), 3);
}

TEST_P(StartMethodTest, TimeoutEndsTheChild) {
  CallOptions options = how();
  options.timeout = 200ms;
  options.grace = 0ms;
  const auto result = call(options, [] {
    for (;;) ::pause();
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::timed_out) << result.error().to_string();
}

TEST_P(StartMethodTest, RetriesRunAgain) {
  CallOptions options = how();
  options.retries = 2;
  const auto result = call(options, [] { throw 1; });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().attempts, 3);
}

TEST_P(StartMethodTest, CancelKills) {
  auto running = call_async(how(), [] {
    for (;;) ::pause();
  });
  running.cancel();
  EXPECT_EQ(running.get().error().cause, Cause::cancelled);
}

TEST_P(StartMethodTest, StderrStandsInTheFailure) {
  const auto result = call(how(), [] {
    std::fputs("the last words\n", stderr);
    throw 1;
  });
  EXPECT_NE(result.error().stderr_tail.find("the last words"), std::string::npos);
}

// ---- What the child is like ----

TEST_P(StartMethodTest, ChildHasItsNameAndOurDirectory) {
  CallOptions options = how();
  options.name = "a-child";
  const auto name = call(options, [] {
    std::string text;
    if (std::FILE* const file = std::fopen("/proc/self/comm", "r")) {
      char line[64]{};
      if (std::fgets(line, sizeof line, file) != nullptr) text = line;
      std::fclose(file);
    }
    return text;
  });
  EXPECT_EQ(name.value(), "a-child\n");
  const test::TemporaryDirectory directory;
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  const auto where = call(how(), [] { return std::filesystem::current_path(); });
  std::filesystem::current_path(before);
  EXPECT_EQ(where.value(), std::filesystem::canonical(directory.path()));
}

TEST_P(StartMethodTest, ChildHoldsNoDescriptorsOfOurs) {
  const auto open = call(how(), [] {
    std::vector<std::string> links;
    for (int fd = 3; fd < 64; ++fd) {
      char to[256]{};
      const std::string path = "/proc/self/fd/" + std::to_string(fd);
      if (::readlink(path.c_str(), to, sizeof to - 1) > 0) links.emplace_back(to);
    }
    return links;
  });
  for (const std::string& link : open.value()) {
    EXPECT_EQ(link.find("socket:"), std::string::npos) << link;
    EXPECT_EQ(link.find("anon_inode:"), std::string::npos) << link;
    EXPECT_EQ(link.find("memfd:tine"), std::string::npos) << link;
  }
}

// ---- Pools ----

class PoolStartMethodTest : public StartMethodTest {};
INSTANTIATE_TEST_SUITE_P(All, PoolStartMethodTest,
                         testing::Values(StartMethod::fork, StartMethod::fork_server,
                                         StartMethod::spawn),
                         name_of);

int counted = 0;
void count_from_forty() { counted = 40; }

TEST_P(PoolStartMethodTest, TasksOfAllKinds) {
  Pool pool{{.workers = 2, .start = GetParam()}};
  std::vector<PoolFuture<int>> sums;
  for (int i = 0; i < 1000; ++i) sums.push_back(pool.submit(add, i, 1));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(sums[i].get().value(), i + 1);
  EXPECT_EQ(pool.submit([](const std::string& text) { return text + "!"; }, "hi").get().value(),
            "hi!");
  const std::vector<double> million(1'000'000, 0.5);
  EXPECT_EQ(pool.submit(sum, million).get().value(), 500'000);
}

TEST_P(PoolStartMethodTest, InitializerRunsInEachWorker) {
  Pool pool{{.workers = 1, .initializer = count_from_forty, .start = GetParam()}};
  EXPECT_EQ(pool.submit([] { return ++counted; }).get().value(), 41);
  EXPECT_EQ(pool.submit([] { return ++counted; }).get().value(), 42);
}

TEST_P(PoolStartMethodTest, CrashesCostTheirTaskAlone) {
  Pool pool{{.workers = 2, .start = GetParam()}};
  std::vector<PoolFuture<int>> results;
  for (int i = 0; i < 12; ++i) {
    results.push_back(pool.submit(
        [](int n) {
          if (n % 4 == 0) ::raise(SIGKILL);
          return n;
        },
        i));
  }
  for (int i = 0; i < 12; ++i) {
    const auto result = results[i].get();
    if (i % 4 == 0) {
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().cause, Cause::signaled) << result.error().to_string();
    } else {
      EXPECT_EQ(result.value(), i);
    }
  }
}

TEST_P(PoolStartMethodTest, TimeoutsAndThrowsFailTheirTask) {
  Pool pool{{.grace = 0ms, .workers = 1, .start = GetParam()}};
  auto thrown = pool.submit([] { throw std::runtime_error("no"); });
  auto slow = pool.submit(TaskOptions{.timeout = 200ms}, [] {
    for (;;) ::pause();
  });
  auto fine = pool.submit(add, 1, 1);
  EXPECT_EQ(thrown.get().error().message, "no");
  EXPECT_EQ(slow.get().error().cause, Cause::timed_out);
  EXPECT_EQ(fine.get().value(), 2);
}

TEST_P(PoolStartMethodTest, MapRunsItsItemsInBatches) {
  Pool pool{{.workers = 2, .start = GetParam()}};
  std::vector<int> numbers(10'000);
  std::iota(numbers.begin(), numbers.end(), 0);
  const auto doubled = pool.map(numbers, [](int n) {
    if (n == 777) ::raise(SIGKILL);
    if (n == 778) throw std::runtime_error("no");
    return 2 * n;
  });
  ASSERT_EQ(doubled.size(), 10'000);
  for (int i = 0; i < 10'000; ++i) {
    if (i == 777 || i == 778) {
      EXPECT_FALSE(doubled[i]);
    } else {
      ASSERT_EQ(doubled[i].value(), 2 * i);
    }
  }
  const auto words = pool.map(std::vector<std::string>{"a", "b"}, twice_text);
  EXPECT_EQ(words[1].value(), "bb");
}

bool never(const Failure&) { return false; }

void pause_for_ever() {
  for (;;) ::pause();
}

TEST_P(PoolStartMethodTest, AFullQueueRefusesWhatDoesNotWait) {
  Pool pool{{.workers = 1, .max_queued = 1, .start = GetParam()}};
  auto running = pool.submit(pause_for_ever);
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 1; }));
  auto queued = pool.submit(pause_for_ever);
  EXPECT_FALSE(pool.try_submit(pause_for_ever));
  EXPECT_TRUE(queued.cancel());
  EXPECT_TRUE(running.cancel());
  EXPECT_EQ(pool.submit(add, 1, 2).get().value(), 3);
}

TEST_P(PoolStartMethodTest, LargeResultsAreReadWhereTheyAre) {
  Pool pool{{.workers = 1, .warm_memory = 1_MiB, .start = GetParam()}};
  for (const std::size_t size : {100'000u, 1'000'000u, 100'000u}) {
    const auto made =
        pool.submit([](std::size_t n) { return std::vector<int>(n, 7); }, size).get_in_place();
    ASSERT_TRUE(made) << made.error().to_string();
    EXPECT_EQ(made->size(), size);
    EXPECT_EQ((*made)[size - 1], 7);
  }
}

int pool_in_a_task(int n) {
  Pool inner{{.workers = 1}};
  return inner.submit(add, n, 1).get().value_or(-1) +
         inner.map(std::vector{n}, [](int m) { return 10 * m; })[0].value_or(-1);
}

TEST_P(PoolStartMethodTest, AForkedPoolWithinATaskKnowsItsCode) {
  Pool pool{{.workers = 1, .start = GetParam()}};
  EXPECT_EQ(pool.submit(pool_in_a_task, 4).get().value(), 45);
  EXPECT_EQ(call({.start = GetParam()}, pool_in_a_task, 4).value(), 45);
}

TEST_P(PoolStartMethodTest, ATaskThatCutsItsFilesShortCostsItselfAtMost) {
  Pool pool{{.workers = 1, .start = GetParam()}};
  const auto cut = [] {
    int cut_short = 0;
    for (int fd = 3; fd < 64; ++fd) cut_short += ::ftruncate(fd, 0) == 0;
    return cut_short;
  };
  [[maybe_unused]] const auto cut_or_not = pool.submit(cut).get();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool.submit(add, i, 1).get().value(), i + 1);
}

TEST_P(PoolStartMethodTest, RulesOfRetriesAreAskedThere) {
  Pool pool{{.workers = 1, .retries = 2, .start = GetParam()}};
  const auto kept = pool.submit([] { throw 1; }).get();
  EXPECT_EQ(kept.error().attempts, 3);
  const auto refused = pool.submit(TaskOptions{.retry_if = never}, [] { throw 1; }).get();
  EXPECT_EQ(refused.error().attempts, 1);
}

// ---- Why it is done ----

struct StartMethodThreadsTest : test::CleanProcessTest {
  void TearDown() override {
    ForkServer::stop();
    CleanProcessTest::TearDown();
  }
};

TEST_F(StartMethodThreadsTest, ThreadsDoNotMatterButToAFork) {
  ASSERT_TRUE(ForkServer::start());
  std::atomic<bool> over{false};
  std::thread beside([&] { over.wait(false); });
  EXPECT_EQ(call(add, 1, 2).error().error.value().kind, ErrorKind::threads_running);
  EXPECT_EQ(call({.start = StartMethod::fork_server}, add, 1, 2).value(), 3);
  EXPECT_EQ(call({.start = StartMethod::spawn}, add, 1, 2).value(), 3);
  for (const StartMethod method : {StartMethod::fork_server, StartMethod::spawn}) {
    Pool pool{{.workers = 1, .start = method}};
    EXPECT_EQ(pool.submit(add, 1, 2).get().value(), 3);
  }
  over = true;
  over.notify_all();
  beside.join();
}

TEST_F(StartMethodThreadsTest, ManyThreadsAskTheServerAtOnce) {
  ASSERT_TRUE(ForkServer::start());
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&right, t] {
      for (int i = 0; i < 20; ++i) {
        if (call({.start = StartMethod::fork_server}, add, t, i) == t + i) ++right;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 160);
}

}  // namespace
}  // namespace tine
