// SPDX-License-Identifier: MIT
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <expected>
#include <filesystem>
#include <ios>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/tine.h"
#include "work/numbers.h"

/// What others' pools and maps promise, or have got wrong: docs/behaviours.md says where from.

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::numbers;
namespace fs = std::filesystem;

struct MapBehavioursTest : test::CleanProcessTest {};
struct MapBehavioursThreadsTest : test::CleanProcessTest {};
struct MapBehavioursSlowTest : test::CleanProcessTest {};
struct MapBehavioursNoAsanTest : test::CleanProcessTest {};

std::size_t open_descriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// ---- What travels ----

/// Does not want to be written, or read, by its number.
struct Stubborn {
  int number = 0;
};

}  // namespace
}  // namespace tine

template <>
struct tine::Codec<tine::Stubborn> {
  static void encode(tine::Encoder& encoder, const tine::Stubborn& value) {
    if (value.number % 4 == 1) throw std::runtime_error("not me");
    if (value.number % 4 == 2) std::_Exit(9);
    encoder.write(value.number);
  }
  static tine::Stubborn decode(tine::Decoder& decoder) {
    const int number = decoder.read<int>();
    if (number % 4 == 3) throw std::runtime_error("not here");
    return {number};
  }
};

namespace tine {
namespace {

TEST_F(MapBehavioursTest, B010_B033_EncodingThatThrowsCostsItsItemAndNoWorker) {
  const auto results =
      map(numbers(200), [](int n) { return Stubborn{n < 100 ? 1 : 4 * n}; }, {.workers = 2});
  for (std::size_t i = 0; i < 200; ++i) {
    ASSERT_EQ(results[i].has_value(), i >= 100) << i;
    if (i >= 100) continue;
    EXPECT_EQ(results[i].error().cause, Cause::undecodable);
    EXPECT_NE(results[i].error().message.find("not me"), std::string::npos)
        << results[i].error().message;
  }
  EXPECT_EQ(results.insights().deaths, 0u);
}

TEST_F(MapBehavioursTest, B012_ExitWhileEncodingIsAnExitOfItsItem) {
  const auto results = map(numbers(20), [](int n) { return Stubborn{n == 7 ? 2 : 0}; });
  EXPECT_EQ(results[7].error().cause, Cause::exited);
  EXPECT_EQ(results[7].error().status.value().code(), 9);
  EXPECT_EQ(results.failures().items(), 1u);
  EXPECT_EQ(call([] { return Stubborn{2}; }).error().cause, Cause::exited);
}

TEST_F(MapBehavioursTest, B013_DecodingThatThrowsHereCostsItsItem) {
  const auto results = map(numbers(20), [](int n) { return Stubborn{n == 7 ? 3 : 0}; });
  EXPECT_EQ(results[7].error().cause, Cause::undecodable);
  EXPECT_EQ(results.failures().items(), 1u);
  EXPECT_EQ(call([] { return Stubborn{3}; }).error().cause, Cause::undecodable);
}

/// An argument that is copied into the function, in the worker.
struct Copied {
  int number = 0;
  explicit Copied(int n) : number(n) {}
  Copied(const Copied& other) : number(other.number) {
    if (number == 3) throw std::runtime_error("copy of 3");
    if (number == 4) std::_Exit(0);
    if (number == 5) ::raise(SIGKILL);
  }
  Copied& operator=(const Copied&) = delete;
  ~Copied() {
    if (number == 6) ::raise(SIGTERM);
  }
};

TEST_F(MapBehavioursTest, B003_B004_B005_B015_ArgumentThatFailsInTheWorkerCostsItsItem) {
  std::vector<std::unique_ptr<Copied>> in;
  for (const int n : numbers(10)) in.push_back(std::make_unique<Copied>(n));
  const auto results = map(in,
                           [](const std::unique_ptr<Copied>& item) {
                             const Copied own = *item;
                             return own.number;
                           },
                           {.workers = 2});
  EXPECT_EQ(results[3].error().message, "copy of 3");
  EXPECT_EQ(results[4].error().cause, Cause::exited);
  EXPECT_EQ(results[5].error().status.value().signal(), SIGKILL);
  EXPECT_EQ(results[6].error().status.value().signal(), SIGTERM);
  EXPECT_EQ(results.failures().items(), 4u);
  in[6]->number = 0;  // it lives on here
}

TEST_F(MapBehavioursTest, B022_ExceptionThatLooksLikeAnEndOfFileIsDelivered) {
  const auto results = map(numbers(2), [](int n) {
    if (n == 1) throw std::ios_base::failure("end of file");
    return n;
  });
  EXPECT_EQ(results[1].error().cause, Cause::threw);
  EXPECT_NE(results[1].error().type.find("failure"), std::string::npos);
  EXPECT_EQ(results.insights().deaths, 0u);
}

TEST_F(MapBehavioursTest, B026_MixedItemsAllHaveTheirOutcome) {
  const auto results = map(numbers(16),
                           [](int n) {
                             if (n % 4 == 3) std::abort();
                             return n;
                           },
                           {.workers = 4});
  EXPECT_EQ(results.failures().items(), 4u);
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(results[i].has_value(), i % 4 != 3) << i;
}

TEST_F(MapBehavioursTest, B062_OtherValuesTakeThePlaceOfFailedOnes) {
  const auto results = map(numbers(6), [](int n) {
    if (n % 2 == 0) throw std::runtime_error("even");
    return n;
  });
  EXPECT_EQ(results.values_or(-1), (std::vector<int>{-1, 1, -1, 3, -1, 5}));
}

[[gnu::noinline]] int crash_in_here(int n) {
  volatile int* nowhere = nullptr;
  if (n == 1) *nowhere = 1;
  return n;
}

TEST_F(MapBehavioursNoAsanTest, B029_CrashOfAnItemTellsWhere) {
  const auto results = map(numbers(2), [](int n) { return crash_in_here(n) + 1; });
  EXPECT_EQ(results[1].error().status.value().signal(), SIGSEGV);
  EXPECT_NE(results[1].error().backtrace.find("crash_in_here"), std::string::npos)
      << results[1].error().backtrace;
}

TEST_F(MapBehavioursTest, B148_ValueThatDescribesAnErrorIsAValue) {
  const auto thrown = map(numbers(1), [](int) { return Thrown{"an error", "as a value"}; });
  EXPECT_EQ(thrown[0].value().type, "an error");
  using Answer = std::expected<int, std::string>;
  const auto refused = call([]() -> Answer { return std::unexpected("no"); });
  ASSERT_TRUE(refused);
  EXPECT_FALSE(*refused);
}

TEST_F(MapBehavioursTest, B143_HundredMegabytesGoThereAndBack) {
  const std::string large(std::size_t{100} << 20, 'x');
  EXPECT_TRUE(call([&] { return large; }).value() == large);
  const auto results = map(std::vector{0}, [&](int) { return large; });
  EXPECT_TRUE(results[0].value() == large);
}

TEST_F(MapBehavioursSlowTest, B144_MoreThanTwoGibibytesGoThereAndBack) {
  const auto pages = static_cast<std::size_t>(::sysconf(_SC_AVPHYS_PAGES));
  if (pages * 4096 < std::size_t{10} << 30) GTEST_SKIP() << "needs 10 GiB of free memory";
  constexpr std::size_t kSize = 2'200'000'000;
  {
    const std::string argument(kSize, 'x');
    EXPECT_EQ(call([&] { return argument.size() + (argument.back() == 'x' ? 1 : 0); }).value(),
              kSize + 1);
  }
  const auto result = call_in_place([] { return std::vector<char>(kSize, 'y'); }).value();
  EXPECT_EQ(result.size(), kSize);
  EXPECT_EQ(result[kSize - 1], 'y');
}

/// How many of them there are, here and in all workers.
struct Alive {
  explicit Alive(std::atomic<int>& all) : count(&all) { ++*count; }
  Alive(const Alive& other) : count(other.count) { ++*count; }
  Alive& operator=(const Alive&) = default;
  ~Alive() { --*count; }
  std::atomic<int>* count;
};

TEST_F(MapBehavioursTest, B145_WhatItemsMakeIsDestroyedWithThem) {
  Shared<std::atomic<int>> alive;
  {
    const std::vector<Alive> in(10, Alive{*alive});
    const auto results = map(in, [](Alive item) { return item.count->load() > 10; });
    EXPECT_TRUE(results.all_succeeded());
    EXPECT_EQ(alive->load(), 10);
  }
  EXPECT_EQ(alive->load(), 0);
}

// ---- Who does what, when ----

TEST_F(MapBehavioursTest, B139_NoWorkerIdlesWhileItemsWait) {
  Shared<std::atomic<int>> done;
  // The first item is over when all others are: so somebody else has to do them.
  const auto results = map(numbers(20),
                           [&](int n) {
                             while (n == 0 && done->load() < 19) ::usleep(100);
                             return ++*done;
                           },
                           {.timeout = 60s, .workers = 2});
  EXPECT_TRUE(results.all_succeeded());
  EXPECT_EQ(*results[0], 20);
}

TEST_F(MapBehavioursTest, B099_WorkersWithoutItemsAreGoneWhileOthersWork) {
  const auto results = map(numbers(4),
                           [](int n) {
                             const auto only_one_is_left = [] {
                               const auto all = process_tree(::getppid());
                               return all && all->size() == 2;  // the parent and this one
                             };
                             return n > 0 || test::eventually(only_one_is_left);
                           },
                           {.workers = 4, .chunk = 1});
  EXPECT_TRUE(results[0].value());
}

TEST_F(MapBehavioursTest, B104_MoreItemsThanAWorkerMayDoAreDone) {
  const auto results =
      map(numbers(10), [](int n) { return n; }, {.workers = 1, .recycle = {.after_items = 2}});
  EXPECT_EQ(results.values().value(), numbers(10));
  EXPECT_EQ(results.insights().workers.size(), 5u);
}

TEST_F(MapBehavioursTest, B133_StopsWhenTheAnswerIsKnown) {
  // any_of: the item that knows throws.
  const auto results = map(numbers(1000),
                           [](int n) {
                             if (n == 4) throw n;
                           },
                           {.workers = 1, .stop = kStopAtFirstFailure, .chunk = 1});
  EXPECT_EQ(results[4].error().cause, Cause::threw);
  EXPECT_EQ(results[999].error().cause, Cause::cancelled);
}

// ---- Ends ----

std::atomic<int>* terms = nullptr;

TEST_F(MapBehavioursTest, B044_HandlerOfTermRunsOnceBeforeTheKill) {
  Shared<std::atomic<int>> handled;
  terms = &*handled;
  const auto results = map(numbers(1),
                           [](int) {
                             ::signal(SIGTERM, [](int) { ++*terms; });
                             for (;;) ::pause();
                           },
                           {.timeout = 50ms, .grace = 50ms});
  EXPECT_EQ(results[0].error().cause, Cause::timed_out);
  EXPECT_EQ(results[0].error().status.value().signal(), SIGKILL);
  EXPECT_EQ(handled->load(), 1);
}

TEST_F(MapBehavioursTest, B039_TotalTimeoutHoldsForAnInitializerThatHangs) {
  const auto results = map(numbers(3),
                           with_state(
                               [] {
                                 for (;;) ::pause();
                               },
                               [](int n) { return n; }),
                           {.grace = 0ms, .total_timeout = 50ms});
  EXPECT_EQ(results.failures().items(), 3u);
  EXPECT_EQ(results[2].error().cause, Cause::timed_out);
}

TEST_F(MapBehavioursTest, B050_ManyCancelledCallsLeaveNothing) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 25; ++i) {
    auto future = call_async({.grace = 0ms}, [] {
      for (;;) ::pause();
    });
    future.cancel();
    EXPECT_EQ(future.get().error().cause, Cause::cancelled);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(MapBehavioursTest, B080_TimeoutEndsTheMapWithinTheItemToo) {
  SharedSpan<std::atomic<pid_t>> inner(3);
  const auto results = map(numbers(1),
                           [&](int) {
                             return map(numbers(3),
                                        [&](int n) -> int {
                                          inner[static_cast<std::size_t>(n)] = ::getpid();
                                          for (;;) ::pause();
                                        },
                                        {.workers = 3})
                                 .size();
                           },
                           {.timeout = 300ms, .grace = 50ms});
  EXPECT_EQ(results[0].error().cause, Cause::timed_out);
  for (const auto& pid : inner) {
    EXPECT_TRUE(pid == 0 || test::eventually([&] { return !test::is_running(pid); })) << pid;
  }
}

int interrupts = 0;

TEST_F(MapBehavioursTest, B085_B086_HandlersOfTheProgramAreItsOwn) {
  const auto handler = [](int) { ++interrupts; };
  ::signal(SIGINT, handler);
  bool raised = false;
  const auto results =
      map(numbers(100), [](int n) { return n; }, {.workers = 2, .progress = [&](const auto&) {
                                                    if (!std::exchange(raised, true))
                                                      ::raise(SIGINT);
                                                  }});
  EXPECT_EQ(interrupts, 1);
  EXPECT_TRUE(results.all_succeeded());
  EXPECT_EQ(::signal(SIGINT, SIG_DFL), +handler);
}

CancelSource* stop_all = nullptr;

TEST_F(MapBehavioursTest, B051_B087_AnySignalCanBeTheOneThatCancels) {
  CancelSource stop;
  stop_all = &stop;
  const auto before = ::signal(SIGUSR1, [](int) { stop_all->cancel(); });
  const auto results = map(numbers(10),
                           [](int n) {
                             if (n == 3) {
                               ::kill(::getppid(), SIGUSR1);
                               for (;;) ::pause();
                             }
                             return n;
                           },
                           {.grace = 0ms, .workers = 1, .chunk = 1, .cancel = stop.token()});
  ::signal(SIGUSR1, before);
  EXPECT_EQ(results[2].value(), 2);
  EXPECT_EQ(results[3].error().cause, Cause::cancelled);
  EXPECT_EQ(results[9].error().cause, Cause::cancelled);
}

TEST_F(MapBehavioursTest, B089_MapThatGoesWellSaysNothing) {
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  EXPECT_TRUE(map(numbers(100), [](int n) { return n; }).all_succeeded());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST_F(MapBehavioursTest, B031_MapAfterACallbackThatThrewIsAsBefore) {
  EXPECT_THROW((void)map(numbers(10), [](int n) { return n; },
                         {.progress = [](const auto&) { throw std::logic_error("enough"); }}),
               std::logic_error);
  EXPECT_EQ(map(numbers(10), [](int n) { return n; }).values().value(), numbers(10));
}

// ---- What processes hold ----

TEST_F(MapBehavioursTest, B097_LaterChildrenHaveNoMoreDescriptors) {
  std::set<std::size_t> counts;
  std::vector<Future<std::size_t>> running;
  for (int i = 0; i < 5; ++i) running.push_back(call_async(open_descriptors));
  for (auto& child : running) counts.insert(child.get().value());
  EXPECT_EQ(counts.size(), 1u) << ::testing::PrintToString(counts);

  Shared<std::atomic<int>> met;
  const auto of_workers = map(numbers(5),
                              [&](int) {
                                ++*met;
                                while (met->load() < 5) ::usleep(100);
                                return open_descriptors();
                              },
                              {.workers = 5});
  counts.clear();
  for (const auto& count : of_workers) counts.insert(*count);
  EXPECT_EQ(counts.size(), 1u) << ::testing::PrintToString(counts);
}

TEST_F(MapBehavioursTest, B098_NothingIsLeftOpenByCallsAndMaps) {
  const auto once = [] {
    EXPECT_TRUE(call([] { return 1; }));
    EXPECT_TRUE(map(numbers(10), [](int n) { return std::to_string(n); }).all_succeeded());
    EXPECT_FALSE(map(numbers(3), [](int) { std::abort(); }, {.workers = 2}).all_succeeded());
  };
  once();
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 10; ++i) once();
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(MapBehavioursTest, B101_ChildrenOfTheProgramAreItsOwn) {
  const pid_t own = ::fork();
  if (own == 0) ::_exit(42);
  EXPECT_EQ(map(numbers(100), [](int n) { return n; }, {.workers = 3}).size(), 100u);
  EXPECT_EQ(call([] { return 1; }).value(), 1);
  int status = 0;
  EXPECT_EQ(::waitpid(own, &status, 0), own);
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST_F(MapBehavioursTest, B165_StdinOfItemsIsNotOurs) {
  test::in_a_fork([] {
    auto typed = Pipe::create().value();
    ASSERT_EQ(::dup2(typed.reader.fd().get(), STDIN_FILENO), STDIN_FILENO);
    const auto results = map(numbers(2), [](int) {
      char byte = 0;
      const bool at_end = ::read(STDIN_FILENO, &byte, 1) == 0;
      return at_end && std::system("cat > /dev/null") == 0;  // would wait for ever
    });
    EXPECT_TRUE(results[0].value() && results[1].value());
    EXPECT_TRUE(call([] { return std::system("cat > /dev/null") == 0; }).value());
  });
}

TEST_F(MapBehavioursTest, B166_ClosedStreamsHarmNobody) {
  test::in_a_fork([] {
    const Fd aside{::dup(STDERR_FILENO)};
    ::close(STDIN_FILENO);
    ::close(STDOUT_FILENO);
    ::close(STDERR_FILENO);
    const auto write = [](int n) {
      std::fputs("to nobody\n", stdout);
      std::fputs("to nobody\n", stderr);
      return n;
    };
    const bool mapped = map(numbers(10), write, {.workers = 2}).all_succeeded();
    const bool called = call(write, 1).has_value();
    ::dup2(aside.get(), STDERR_FILENO);
    EXPECT_TRUE(mapped);
    EXPECT_TRUE(called);
  });
  const auto results = map(numbers(10),
                           [](int n) {
                             ::close(STDOUT_FILENO);
                             ::close(STDERR_FILENO);
                             std::fputs("to nobody\n", stdout);
                             return n;
                           },
                           {.workers = 2});
  EXPECT_TRUE(results.all_succeeded());
}

// ---- Threads ----

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHeapSurvivesForks = false;  // locks of the sanitizer's own are copied as they are
#else
constexpr bool kHeapSurvivesForks = true;
#endif

/// Uses the heap and the standard streams without a pause.
class Noise {
 public:
  Noise() : file_(::fopen("/dev/null", "w")), thread_([this] { make(); }) {}
  Noise(const Noise&) = delete;
  Noise& operator=(const Noise&) = delete;
  ~Noise() {
    over_ = true;
    thread_.join();
    ::fclose(file_);
  }

 private:
  void make() {
    while (!over_) {
      std::vector<std::string> lines(20, std::string(1000, 'x'));
      for (const auto& line : lines) ::fputs(line.c_str(), file_);
    }
  }
  std::atomic<bool> over_{false};
  FILE* file_;
  std::thread thread_;
};

TEST_F(MapBehavioursThreadsTest, B153_LocksOfAllocationHeldByThreadsHangNoWorker) {
  if (!kHeapSurvivesForks) GTEST_SKIP() << "a sanitizer's heap";
  const Noise noise;
  for (int round = 0; round < 20; ++round) {
    const auto results =
        map(numbers(20), [](int n) { return std::string(static_cast<std::size_t>(1000 + n), 'x'); },
            {.timeout = 60s, .workers = 2, .threads = ThreadPolicy::allow});
    ASSERT_TRUE(results.all_succeeded()) << results.failures().entries().begin()->second.begin;
    ASSERT_TRUE(call({.timeout = 60s, .threads = ThreadPolicy::allow},
                     [] { return std::string(100'000, 'x'); }));
  }
}

TEST_F(MapBehavioursThreadsTest, B092_ChildOutlivesTheThreadThatMadeIt) {
  Shared<std::atomic<bool>> go;
  std::optional<Future<int>> future;
  std::thread([&] {
    future = call_async({.threads = ThreadPolicy::allow}, [&] {
      while (!go->load()) ::usleep(100);
      return 1;
    });
  }).join();
  *go = true;
  EXPECT_EQ(future->get().value_or(0), 1);
}

TEST_F(MapBehavioursThreadsTest, B150_ThreadsMapBesideEachOther) {
  if (!kHeapSurvivesForks) GTEST_SKIP() << "a sanitizer's heap";
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 5; ++round) {
        const auto results = map(numbers(50),
                                 [t](int n) {
                                   if (n == 7) ::_exit(t);
                                   return 100 * t + n;
                                 },
                                 {.workers = 2, .threads = ThreadPolicy::allow});
        if (results.failures().items() == 1 && results[49].value_or(0) == 100 * t + 49 &&
            !results[7] && results[7].error().status->code() == t) {
          ++right;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right.load(), 20);
}

}  // namespace
}  // namespace tine

/// In place of OpenMP's.
int omp_threads = 0;
extern "C" void omp_set_num_threads(int count);
extern "C" void omp_set_num_threads(int count) { omp_threads = count; }

namespace tine {
namespace {

TEST_F(MapBehavioursTest, B163_ThreadsOfOpenMpAreDividedAmongTheWorkers) {
  ::unsetenv("OMP_NUM_THREADS");
  const auto asked = [](int) { return omp_threads; };
  const int cpus = static_cast<int>(usable_cpus());
  EXPECT_EQ(map(numbers(1), asked, {.workers = 1})[0].value(), cpus);
  const auto many = map(numbers(4), asked, {.workers = 4});
  for (const auto& count : many) EXPECT_EQ(count.value(), std::max(1, cpus / 4));
  ::setenv("OMP_NUM_THREADS", "3", 1);
  EXPECT_EQ(map(numbers(1), asked)[0].value(), 0) << "the user has said how many";
  ::unsetenv("OMP_NUM_THREADS");
}

}  // namespace
}  // namespace tine
