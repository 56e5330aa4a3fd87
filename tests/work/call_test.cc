// SPDX-License-Identifier: MIT
#include "tine/call.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <future>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <thread>
#include <variant>

#include "support/clean_process_test.h"
#include "tine/future.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::eventually;
using test::in_a_fork;

struct CallTest : test::CleanProcessTest {};
struct CallThreadsTest : test::CleanProcessTest {};

struct Point {
  double x = 0;
  double y = 0;
  bool operator==(const Point&) const = default;
};

struct Report {
  std::string title;
  std::vector<Point> points;
  std::map<std::string, int> counts;
  std::optional<Point> centre;
  bool operator==(const Report&) const = default;
};

// ---- Values ----

TEST_F(CallTest, WorksBelowALowLimitOnFileSizes) {
  in_a_fork([] {
    const rlimit limit{65536, 65536};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_EQ(call([] { return 7; }).value(), 7);
  });
}

TEST_F(CallTest, ValuesOfAllKindsComeBack) {
  EXPECT_EQ(call([] { return 42; }).value(), 42);
  EXPECT_EQ(call([] { return std::string("text"); }).value(), "text");
  EXPECT_EQ(call([] { return Point{1, 2}; }).value(), (Point{1, 2}));
  EXPECT_EQ(call([] { return std::vector<int>{1, 2, 3}; }).value(), (std::vector<int>{1, 2, 3}));
  const Report report{"title", {{1, 2}, {3, 4}}, {{"a", 1}}, Point{5, 6}};
  EXPECT_EQ(call([&] { return report; }).value(), report);
  EXPECT_TRUE(call([] {}));
}

TEST_F(CallTest, ArgumentsReachTheFunctionAndMoveOnlyOnesToo) {
  EXPECT_EQ(call([](int a, int b) { return a - b; }, 50, 8).value(), 42);
  auto number = std::make_unique<int>(9);
  EXPECT_EQ(call([](std::unique_ptr<int> n) { return *n; }, std::move(number)).value(), 9);
  EXPECT_EQ(
      call({.name = "named"}, [](const std::string& s) { return s.size(); }, "four").value(), 4u);
}

TEST_F(CallTest, WhatTheFunctionChangesIsItsOwn) {
  int value = 1;
  EXPECT_EQ(call([&] { return ++value; }).value(), 2);
  EXPECT_EQ(value, 1);
}

TEST_F(CallTest, ReferencesAreCopied) {
  static const std::string kText = "referred to";
  EXPECT_EQ(call([]() -> const std::string& { return kText; }).value(), kText);
}

TEST_F(CallTest, ExpectedOfTheFunctionIsAValue) {
  using Answer = std::expected<int, std::string>;
  EXPECT_EQ(call([]() -> Answer { return 1; }).value(), Answer(1));
  EXPECT_EQ(call([]() -> Answer { return std::unexpected("no"); }).value(),
            Answer(std::unexpected("no")));
}

TEST_F(CallTest, LargeResultsAreCompleteAndInPlaceOnesNotCopied) {
  constexpr std::size_t kCount = 8'000'000;
  const auto make = [] {
    std::vector<double> numbers(kCount);
    std::iota(numbers.begin(), numbers.end(), 0.0);
    return numbers;
  };
  const auto copied = call(make).value();
  ASSERT_EQ(copied.size(), kCount);
  EXPECT_EQ(copied.back(), kCount - 1.0);
  const auto in_place = call_in_place(make).value();
  ASSERT_EQ(in_place.size(), kCount);
  EXPECT_TRUE(std::equal(copied.begin(), copied.end(), in_place.begin()));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(in_place.data()) % 64, 0u);
  const auto shared = in_place;  // NOLINT: the copy is the point
  EXPECT_EQ(shared.data(), in_place.data());
}

TEST_F(CallTest, EmptyRangesTravel) {
  EXPECT_TRUE(call([] { return std::vector<int>{}; }).value().empty());
  EXPECT_TRUE(call_in_place([] { return std::vector<int>{}; }).value().empty());
  EXPECT_EQ(call([] { return std::string{}; }).value(), "");
}

// ---- Failures ----

TEST_F(CallTest, ExceptionsComeBackWithTypeTextAndCauses) {
  const auto failed = call([]() -> int {
    try {
      throw std::out_of_range("the index");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("the table"));
    }
  });
  ASSERT_FALSE(failed);
  const Failure& failure = failed.error();
  EXPECT_EQ(failure.cause, Cause::threw);
  EXPECT_EQ(failure.type, "std::runtime_error");
  EXPECT_EQ(failure.message, "the table");
  ASSERT_EQ(failure.causes.size(), 1u);
  EXPECT_EQ(failure.causes[0].type, "std::out_of_range");
  EXPECT_EQ(failure.causes[0].message, "the index");
}

TEST_F(CallTest, ThrowingTwinThrowsAgainWhatTheChildThrew) {
  EXPECT_EQ(throwing::call([](int n) { return n + 1; }, 1), 2);
  try {
    throwing::call([] {
      try {
        throw std::out_of_range("the index");
      } catch (...) {
        std::throw_with_nested(std::runtime_error("the table"));
      }
    });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const RemoteError& outer) {
    EXPECT_STREQ(outer.what(), "the table");
    try {
      std::rethrow_if_nested(outer);
      ADD_FAILURE() << "no cause";
    } catch (const RemoteError& inner) {
      EXPECT_EQ(inner.type(), "std::out_of_range");
      EXPECT_STREQ(inner.what(), "the index");
    }
  }
  EXPECT_THROW(throwing::call([] { std::exit(1); }), FailureException);
}

TEST_F(CallTest, ThrownThingsThatAreNoExceptionsHaveTheirType) {
  const auto failed = call([] { throw 42; });
  EXPECT_EQ(failed.error().cause, Cause::threw);
  EXPECT_EQ(failed.error().type, "int");
  EXPECT_TRUE(failed.error().to_string().ends_with(": int")) << failed.error().to_string();
}

TEST_F(CallTest, EveryWayToEndIsItsOwnFailure) {
  const auto cause_and_status = [](auto body) {
    const auto failed = call({.name = "odd"}, body);
    EXPECT_FALSE(failed);
    return std::pair{failed.error().cause, failed.error().status->to_string()};
  };
  using Expected = std::pair<Cause, std::string>;
  EXPECT_EQ(cause_and_status([] { std::exit(3); }), Expected(Cause::exited, "exited with 3"));
  EXPECT_EQ(cause_and_status([] { std::exit(0); }), Expected(Cause::exited, "exited with 0"));
  EXPECT_EQ(cause_and_status([] { ::_exit(4); }), Expected(Cause::exited, "exited with 4"));
  EXPECT_EQ(cause_and_status([] { ::raise(SIGKILL); }).first, Cause::signaled);
  EXPECT_EQ(cause_and_status([] { ::raise(SIGTERM); }).first, Cause::signaled);
}

TEST_F(CallTest, ExitZeroIsNoSuccess) {
  const auto failed = call({.name = "odd"}, [] { std::exit(0); });
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().to_string().find("instead of returning"), std::string::npos)
      << failed.error().to_string();
}

TEST_F(CallTest, BadAllocIsOutOfMemory) {
  EXPECT_EQ(call([]() -> int { throw std::bad_alloc(); }).error().cause, Cause::out_of_memory);
}

TEST_F(CallTest, TimeoutKillsEvenWhatIgnoresTerm) {
  const auto failed = call({.timeout = 50ms, .grace = 20ms}, [] {
    ::signal(SIGTERM, SIG_IGN);
    for (;;) ::pause();
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
}

TEST_F(CallTest, StoppedChildMeetsItsTimeout) {
  const auto failed = call({.timeout = 50ms, .grace = 20ms}, [] { ::raise(SIGSTOP); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_NE(failed.error().message.find("it is stopped"), std::string::npos)
      << failed.error().message;
}

struct CallNoAsanTest : test::CleanProcessTest {};

// A sanitizer's own memory leaves no room below such a limit.
TEST_F(CallNoAsanTest, InheritedMemoryThatIsWrittenCountsAgainstTheLimit) {
  std::string inherited(std::size_t{128} << 20, 'x');
  const auto write = [&](std::size_t size) {
    for (std::size_t i = 0; i < size; i += 4096) inherited[i] = 'y';
    for (;;) ::pause();
    return 0;
  };
  const auto failed = call({.timeout = 10s, .memory = 32_MiB}, write, inherited.size());
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::out_of_memory) << failed.error().to_string();
  EXPECT_NE(failed.error().message.find("limit"), std::string::npos);
}

TEST_F(CallNoAsanTest, MemoryLimitIsOutOfMemoryAndNotBadLuck) {
  // What is inherited does not count.
  const std::string inherited(std::size_t{96} << 20, 'x');
  const CallOptions limited{.memory = 64_MiB};
  const auto grow = [&](std::size_t size) { return std::string(size, 'y').size(); };
  EXPECT_EQ(call(limited, grow, std::size_t{16} << 20).value(), std::size_t{16} << 20);
  const auto failed = call(limited, grow, std::size_t{80} << 20);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::out_of_memory);
}

TEST_F(CallNoAsanTest, ValueThatDoesNotFitIsAFailureAndNoCrash) {
  in_a_fork([] {
    const rlimit limit{256_MiB, 256_MiB};  // so that the region is a small one
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
    const auto failed = call([] { return std::vector<char>(100_MiB); });
    if (failed) return;  // there was room for both
    EXPECT_TRUE(failed.error().cause == Cause::undecodable ||
                failed.error().cause == Cause::out_of_memory)
        << failed.error().to_string();
  });
}

[[gnu::noinline]] void break_here(volatile int* nowhere) { *nowhere = 1; }

[[gnu::noinline]] void wait_here() {
  for (;;) ::pause();
}

TEST_F(CallNoAsanTest, CrashTellsWhereItHappened) {
  const auto failed = call([] { break_here(nullptr); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::signaled);
  EXPECT_EQ(failed.error().status->signal(), SIGSEGV);
  EXPECT_NE(failed.error().place.find("break_here"), std::string::npos) << failed.error().place;
  EXPECT_NE(failed.error().to_string().find(" in " + failed.error().place), std::string::npos);
  EXPECT_NE(failed.error().backtrace.find("break_here"), std::string::npos)
      << failed.error().backtrace;
  EXPECT_NE(failed.error().to_string().find(" in "), std::string::npos)
      << failed.error().to_string();
  EXPECT_EQ(failed.error().backtrace.find("tine::work"), std::string::npos)
      << failed.error().backtrace;
}

TEST_F(CallNoAsanTest, TimeoutTellsWhereItWasStuck) {
  const auto failed = call({.timeout = 100ms}, [] { wait_here(); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  EXPECT_NE(failed.error().backtrace.find("wait_here"), std::string::npos)
      << failed.error().backtrace << failed.error().message;
}

TEST_F(CallTest, GrandchildrenDieWithTheCall) {
  auto told = TypedPipe<pid_t>::create().value();
  EXPECT_TRUE(call([&] {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      for (;;) ::pause();
    }
    if (!told.send(grandchild)) ::_exit(1);
  }));
  const pid_t grandchild = told.receive().value().value();
  EXPECT_TRUE(eventually([&] { return !test::is_running(grandchild); }));
}

TEST_F(CallTest, StderrComesOutOfOursAndItsEndStandsInTheFailure) {
  auto pipe = Pipe::create().value();
  const Fd saved{::dup(2)};
  ::dup2(pipe.writer.fd().get(), 2);
  const auto failed = call([] {
    std::fputs("last words\n", stderr);
    std::abort();
  });
  ::dup2(saved.get(), 2);
  pipe.writer.close();
  EXPECT_EQ(failed.error().cause, Cause::signaled);
  EXPECT_EQ(failed.error().stderr_tail, "last words\n");
  EXPECT_EQ(pipe.reader.read_all().value(), "last words\n");
}

TEST_F(CallTest, EndlessStderrIsCutAndHarmsNobody) {
  auto pipe = Pipe::create().value();
  in_a_fork([] {
    ::dup2(Fd{::open("/dev/null", O_WRONLY | O_CLOEXEC)}.release(), 2);
    const auto value = call([] {
      const std::string block(1_MiB, 'x');
      ssize_t written = 0;
      for (int i = 0; i < 64 && written >= 0; ++i) {
        written = ::write(2, block.data(), block.size());
      }
      return written < 0 ? errno : 0;
    });
    EXPECT_EQ(value.value(), EPERM);
  });
}

TEST_F(CallTest, WhatCannotBeTriedAgainSaysSo) {
  EXPECT_EQ(call_async({.retries = 1}, [] { return 1; }).get().error().error->kind,
            ErrorKind::invalid_argument);
}

TEST_F(CallTest, RetriesRunAgainAndTellHowOften) {
  auto attempts = TypedPipe<int>::create().value();
  const auto failed = call({.retries = 2}, [&]() -> int {
    if (!attempts.send(1)) return 0;
    throw std::runtime_error("again");
  });
  EXPECT_EQ(failed.error().attempts, 3);
}

TEST_F(CallTest, CancelledCallIsKilled) {
  CancelSource stop;
  stop.cancel();
  const auto failed = call({.cancel = stop.token()}, [] {
    for (;;) ::pause();
  });
  EXPECT_EQ(failed.error().cause, Cause::cancelled);
}

TEST_F(CallTest, LyingChildIsUndecodable) {
  // The channel is memory that the child can write: what it says there is not believed.
  const auto failed = detail::run_call({}, {.body = [](detail::ByteSink& sink) {
                                         std::byte* const at = sink.extend(64);
                                         for (int i = 0; i < 64; ++i) at[i] = std::byte{0xff};
                                         return std::expected<void, Error>{};
                                       }});
  ASSERT_TRUE(failed);  // the bytes arrived
  EXPECT_FALSE(detail::read_payload<std::string>(failed->bytes()));
  EXPECT_FALSE(detail::read_payload<Report>(failed->bytes()));
  EXPECT_FALSE(detail::view_payload<double>(failed->bytes()));
}

TEST_F(CallTest, KilledInTheMiddleOfAResultIsThatFailure) {
  const auto failed = detail::run_call({}, {.body = [](detail::ByteSink& sink) {
                                         std::byte* const at = sink.extend(100_MiB);
                                         for (std::size_t i = 0; i < 50_MiB; i += 4096)
                                           at[i] = std::byte{1};
                                         ::raise(SIGKILL);
                                         return std::expected<void, Error>{};
                                       }});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::signaled);
}

TEST_F(CallTest, NestedCallsWork) {
  EXPECT_EQ(call([] { return call([] { return 6; }).value() * 7; }).value(), 42);
}

TEST_F(CallThreadsTest, ThreadsRefuseAndAllowAllows) {
  std::promise<void> done;
  std::thread other([&] { done.get_future().wait(); });
  const auto refused = call([] { return 1; });
  EXPECT_EQ(refused.error().cause, Cause::not_started);
  EXPECT_EQ(refused.error().error->kind, ErrorKind::threads_running);
  EXPECT_EQ(call({.threads = ThreadPolicy::allow}, [] { return 1; }).value(), 1);
  done.set_value();
  other.join();
}

// ---- Futures ----

struct FutureTest : test::CleanProcessTest {};

TEST_F(FutureTest, ItsValueIsThereOnce) {
  auto future = call_async([] { return 1; });
  EXPECT_EQ(future.get().value(), 1);
  const auto again = future.get().error();
  EXPECT_EQ(again.cause, Cause::lost);
  EXPECT_NE(again.to_string().find("get() has been called before"), std::string::npos);
}

TEST_F(CallTest, OptionsThatMakeNoSenseAreRefused) {
  for (const CallOptions& options : {CallOptions{.timeout = -1ms}, CallOptions{.retries = -1}}) {
    const auto refused = call(options, [] { return 1; });
    EXPECT_EQ(refused.error().cause, Cause::not_started);
    EXPECT_EQ(refused.error().error->kind, ErrorKind::invalid_argument);
  }
}

TEST_F(FutureTest, GivesTheValueWhenItIsThere) {
  auto go = Pipe::create().value();
  auto future = call_async([&] { return go.reader.read_all().value(); });
  EXPECT_FALSE(future.ready());
  // The child holds a copy of the writer as well: it reads to the newline alone.
  future.cancel();
  EXPECT_EQ(future.get().error().cause, Cause::cancelled);
  EXPECT_EQ(future.get().error().cause, Cause::lost);
}

TEST_F(FutureTest, ManyRunBesideEachOther) {
  std::vector<Future<int>> futures;
  for (int i = 0; i < 50; ++i) futures.push_back(call_async([i] { return i * i; }));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get().value(), i * i);
}

TEST_F(FutureTest, DescriptorBecomesReadableAtTheEnd) {
  auto future = call_async([] { return 1; });
  EXPECT_TRUE(eventually([&] {
    pollfd watched{future.fd(), POLLIN, 0};
    return ::poll(&watched, 1, 0) == 1;
  }));
  EXPECT_TRUE(future.ready());
  EXPECT_EQ(future.get().value(), 1);
  EXPECT_EQ(future.fd(), -1);
}

TEST_F(FutureTest, DestructorKills) {
  auto told = TypedPipe<pid_t>::create().value();
  {
    auto future = call_async([&] {
      if (!told.send(::getpid())) return;
      for (;;) ::pause();
    });
  }
  // Whether it got as far as telling or not, it is gone.
  told.writer.close();
  const auto pid = told.receive();
  if (pid && *pid) {
    EXPECT_FALSE(test::is_running(**pid));
  }
}

TEST_F(FutureTest, TimeoutHoldsWhileNobodyWaits) {
  auto future = call_async({.timeout = 50ms, .grace = 0ms}, [] {
    for (;;) ::pause();
  });
  EXPECT_TRUE(eventually([&] {
    pollfd watched{future.fd(), POLLIN, 0};
    return ::poll(&watched, 1, 0) == 1;
  }));
  EXPECT_EQ(future.get().error().cause, Cause::timed_out);
}

}  // namespace
}  // namespace tine
