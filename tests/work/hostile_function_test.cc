// SPDX-License-Identifier: MIT
//
// Functions that do in a child what one would rather they did not, by each way to run them.

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/tine.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::numbers;

struct HostileFunctionTest : test::CleanProcessTest {};
struct HostileFunctionNoAsanTest : test::CleanProcessTest {};

// ---- A function that forks, and comes back twice ----

/// What the copy gives, nobody is to see; it has to be gone before the original goes on.
template <class R, class Make>
R come_back_twice(int n, Make make) {
  const pid_t copy = ::fork();
  if (copy == 0) return make(-n);
  int status = -1;
  ::waitpid(copy, &status, 0);
  return make(status == 0 ? n : 1000 + status);
}

int forked_number(int n) {
  return come_back_twice<int>(n, [](int got) { return got; });
}
std::string forked_text(int n) {
  return come_back_twice<std::string>(n, [](int got) { return std::to_string(got); });
}
/// The copy throws.
int forked_throw(int n) {
  return come_back_twice<int>(n, [](int got) {
    if (got < 0) throw std::runtime_error("in a copy");
    return got;
  });
}

template <class Results, class Value>
void expect_values(const Results& results, const Value& value) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_TRUE(results[i]) << i << ": " << results[i].error().to_string();
    EXPECT_EQ(*results[i], value(static_cast<int>(i) + 1));
  }
}

std::vector<int> from_one(int count) {
  std::vector<int> all;
  for (int i = 1; i <= count; ++i) all.push_back(i);
  return all;
}

TEST_F(HostileFunctionTest, ACopyOfACallThatComesBackIsNobodys) {
  EXPECT_EQ(call(forked_number, 7).value(), 7);
  EXPECT_EQ(call(forked_text, 7).value(), "7");
  EXPECT_EQ(call(forked_throw, 7).value(), 7);
}

TEST_F(HostileFunctionTest, ACopyOfAWorkerThatComesBackIsNobodys) {
  const auto same = [](int n) { return n; };
  const auto text = [](int n) { return std::to_string(n); };
  expect_values(map(from_one(60), forked_number, {.workers = 2}), same);
  expect_values(map(from_one(60), forked_number, {.timeout = 1min, .workers = 2}), same);
  expect_values(map(from_one(60), forked_text, {.workers = 2}), text);
  expect_values(map(from_one(60), forked_throw, {.workers = 2}), same);
  for (auto& [index, result] : map_ordered(from_one(60), forked_text, {.workers = 2})) {
    ASSERT_TRUE(result) << result.error().to_string();
    EXPECT_EQ(*result, std::to_string(index + 1));
  }
}

TEST_F(HostileFunctionTest, ACopyOfAPoolsWorkerThatComesBackIsNobodys) {
  Pool pool{{.workers = 2}};
  const auto text = [](int n) { return std::to_string(n); };
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(pool.submit(forked_number, 7).get().value(), 7);
    EXPECT_EQ(pool.submit(forked_text, 8).get().value(), "8");
    EXPECT_EQ(pool.submit(forked_throw, 9).get().value(), 9);
  }
  expect_values(pool.map(from_one(60), forked_text), text);
  EXPECT_EQ(pool.worker_pids().size(), 2u);
  EXPECT_EQ(pool.stats().deaths, 0u);
}

// ---- A function that comes back because it was asked where it is ----

/// Any signal ends the sleep.
int oversleep(int n) {
  if (n == 2) ::sleep(1000);
  return n;
}

template <class Result>
void expect_timed_out(const Result& result) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().cause, Cause::timed_out) << result.error().to_string();
}

TEST_F(HostileFunctionTest, WhoseTimeIsUpHasNothingToSay) {
  for (int round = 0; round < 10; ++round) {
    expect_timed_out(call({.timeout = 10ms}, oversleep, 2));
    const auto mapped = map(from_one(4), oversleep, {.timeout = 10ms, .workers = 2});
    expect_timed_out(mapped[1]);
    EXPECT_EQ(mapped.failures().items(), 1u);
    for (auto& [index, result] :
         map_ordered(from_one(4), oversleep, {.timeout = 10ms, .workers = 2})) {
      if (index == 1) {
        expect_timed_out(result);
      } else {
        EXPECT_TRUE(result);
      }
    }
  }
}

TEST_F(HostileFunctionTest, WhoseTimeIsUpInAPoolHasNothingToSay) {
  Pool pool{{.workers = 2}};
  for (int round = 0; round < 10; ++round) {
    expect_timed_out(pool.submit({.timeout = 10ms}, oversleep, 2).get());
    const auto mapped = pool.map(from_one(4), oversleep, {.timeout = 10ms});
    expect_timed_out(mapped[1]);
    EXPECT_EQ(mapped.failures().items(), 1u);
  }
}

// ---- A stderr that nobody reads ----

void write_much() {
  const std::string much(300'000, 'e');
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, much.data(), much.size());
}

TEST_F(HostileFunctionTest, AStderrThatNobodyReadsHoldsNothingUp) {
  auto pipe = Pipe::create().value();
  const test::StderrTo redirected(pipe.writer.fd().get());
  EXPECT_TRUE(call(write_much));
  const auto late = call({.timeout = 10ms}, [] {
    write_much();
    for (;;) ::pause();
  });
  expect_timed_out(late);
  const auto mapped = map(numbers(2), [](int) { write_much(); }, {.workers = 2});
  EXPECT_TRUE(mapped.all_succeeded());
  for (auto& [index, result] : map_ordered(numbers(2), [](int) { write_much(); })) {
    EXPECT_TRUE(result) << index;
  }
}

// ---- Little memory here ----

TEST_F(HostileFunctionNoAsanTest, ACrashIsAFailureAlsoWithoutMemoryToSayWhere) {
  for (const rlim_t spare : {rlim_t{30}, rlim_t{60}, rlim_t{100}}) {
    test::in_a_fork([&] {
      std::ifstream statm("/proc/self/statm");
      rlim_t pages = 0;
      statm >> pages;
      const rlimit limit{pages * 4096 + (spare << 20), RLIM_INFINITY};
      ::setrlimit(RLIMIT_AS, &limit);
      const auto results = map(numbers(4), [](int n) {
        if (n == 1) ::raise(SIGKILL);
        if (n == 2) ::raise(SIGABRT);
        return n;
      });
      EXPECT_EQ(results.failures().items(), 2u);
      EXPECT_EQ(results[2].error().cause, Cause::signaled) << results[2].error().to_string();
    });
  }
}

}  // namespace
}  // namespace tine
