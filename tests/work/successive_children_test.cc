// SPDX-License-Identifier: MIT

/// One function child after the other: what a process keeps for the next (what they read as stdin,
/// the memory of calls and maps) or makes anew. Nobody may find anything of another's there.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/tine.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::in_a_fork;
using test::numbers;

struct SuccessiveChildrenTest : test::CleanProcessTest {};

/// What a call leaves that says `word` on stderr and then fails.
std::string tail_of(const std::string& word) {
  const Fd nowhere{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  const test::StderrTo quiet(nowhere.get());
  const auto failed = call([&] {
    std::fputs(word.c_str(), stderr);
    throw std::runtime_error("no");
  });
  return failed ? "it did not fail" : failed.error().stderr_tail;
}

TEST_F(SuccessiveChildrenTest, EachChildHasItsOwnWordsOnly) {
  EXPECT_EQ(tail_of("a longer first sentence"), "a longer first sentence");
  EXPECT_EQ(tail_of("short"), "short");
  EXPECT_EQ(tail_of(""), "");
}

TEST_F(SuccessiveChildrenTest, WhatAChildHasWrittenIsNowhereForTheNext) {
  tail_of("a secret");
  const auto found = call([] {
    char text[16] = {};
    return ::pread(STDERR_FILENO, text, sizeof text, 0) > 0 ? std::string(text) : std::string();
  });
  EXPECT_EQ(found.value(), "");
}

TEST_F(SuccessiveChildrenTest, WhatAChildDoesToItsFileIsItsOwnAffair) {
  const Fd nowhere{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  const test::StderrTo quiet(nowhere.get());
  ASSERT_TRUE(call([] { ::fcntl(STDERR_FILENO, F_SETFL, O_APPEND | O_NONBLOCK); }));
  EXPECT_EQ(tail_of("after flags"), "after flags");
  ASSERT_TRUE(call([] { ::lseek(STDERR_FILENO, 4096, SEEK_SET); }));
  EXPECT_EQ(tail_of("after a seek"), "after a seek");
  ASSERT_TRUE(call([] { ::fcntl(STDERR_FILENO, F_ADD_SEALS, F_SEAL_WRITE); }));
  EXPECT_EQ(tail_of("after a seal"), "after a seal");
  ASSERT_TRUE(call([] { return ::ftruncate(STDERR_FILENO, 0); }));
  EXPECT_EQ(tail_of("after a cut"), "after a cut");
  ASSERT_TRUE(call([] { return ::pwrite(STDERR_FILENO, "behind", 6, 0) == 6; }));
  EXPECT_EQ(tail_of("front"), "front");
}

TEST_F(SuccessiveChildrenTest, ACrashedChildsFileIsAsNew) {
  ASSERT_FALSE(call([] { std::abort(); }));
  EXPECT_EQ(tail_of("next"), "next");
}

/// What a host has under numbers that were ours until it closed them.
std::vector<int> files_of_mine() {
  std::vector<int> mine;
  for (int i = 0; i < 32; ++i) {
    mine.push_back(::memfd_create("mine", MFD_CLOEXEC));
    EXPECT_EQ(::write(mine.back(), "mine", 4), 4);
  }
  return mine;
}

bool are_whole(const std::vector<int>& mine) {
  return std::ranges::all_of(mine, [](int fd) {
    char text[8] = {};
    return ::pread(fd, text, sizeof text, 0) == 4 && std::string(text) == "mine";
  });
}

TEST_F(SuccessiveChildrenTest, NumbersThatAreTheHostsNowAreLeftAlone) {
  in_a_fork([] {
    ASSERT_TRUE(call([] {}));  // a copy has its own guardian and files
    ::close_range(3, ~0u, 0);
    const std::vector<int> mine = files_of_mine();
    // Its guardian is lost to it as well, so there may be no call at all, but no harm.
    [[maybe_unused]] const auto result = call([] { std::fputs("to whom?\n", stderr); });
    [[maybe_unused]] const auto timed = call({.timeout = 1h}, [] {});
    EXPECT_TRUE(are_whole(mine));
  });
}

/// The number of what children get as stdin; -1: none is open.
int number_of_null_device() {
  for (int fd = 3; fd < 256; ++fd) {
    char target[64] = {};
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    if (::readlink(path.c_str(), target, sizeof target - 1) < 0) continue;
    const bool for_reading = (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
    if (std::string(target) == "/dev/null" && for_reading) return fd;
  }
  return -1;
}

ssize_t bytes_on_stdin() {
  return call([] {
           char byte = 0;
           return ::read(STDIN_FILENO, &byte, 1);
         })
      .value();
}

TEST_F(SuccessiveChildrenTest, AFileInThePlaceOfTheirStdinIsTheHosts) {
  in_a_fork([] {
    ASSERT_EQ(bytes_on_stdin(), 0);
    const int number = number_of_null_device();
    ASSERT_GE(number, 0);
    struct Other {
      const char* path;
      int flags;
    };
    for (const Other& other : {Other{"/dev/zero", O_RDONLY}, Other{"/dev/null", O_WRONLY}}) {
      const Fd opened{::open(other.path, other.flags | O_CLOEXEC)};
      ASSERT_EQ(::dup2(opened.get(), number), number);
      EXPECT_EQ(bytes_on_stdin(), 0) << other.path;
      const auto is_open = call([number] { return ::fcntl(number, F_GETFD) >= 0; });
      EXPECT_TRUE(is_open.value()) << "descriptors of the host stay open in its children";
    }
  });
}

TEST_F(SuccessiveChildrenTest, WhereThereIsNoNullDeviceTheyHaveNoStdin) {
  if (::geteuid() != 0) GTEST_SKIP() << "chroot is for root";
  const test::TemporaryDirectory empty;
  in_a_fork([&] {
    ASSERT_EQ(bytes_on_stdin(), 0);
    ASSERT_EQ(::dup2(::open("/dev/zero", O_RDONLY), STDIN_FILENO), STDIN_FILENO);
    ASSERT_EQ(::close(number_of_null_device()), 0);
    ASSERT_EQ(::chroot(empty.path().c_str()), 0);
    EXPECT_EQ(bytes_on_stdin(), -1) << "not those of its parent";
  });
}

TEST_F(SuccessiveChildrenTest, ALowerLimitOnFilesIsHeeded) {
  in_a_fork([] {
    ASSERT_TRUE(call([] {}));
    const rlimit limit{64 << 10, 64 << 10};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    const auto size = call([] {
      struct stat found{};
      ::fstat(STDERR_FILENO, &found);
      return found.st_size;
    });
    ASSERT_TRUE(size) << size.error().to_string();
    EXPECT_EQ(*size, 64 << 10);
  });
}

TEST_F(SuccessiveChildrenTest, AChildThatCallsHasFilesOfItsOwn) {
  const auto inner = call([] {
    std::fputs("outer\n", stderr);
    return tail_of("inner");
  });
  EXPECT_EQ(inner.value(), "inner");
}

// ---- Copies of a host ----

struct CopiedHostTest : test::CleanProcessTest {};

/// A call that ends when somebody writes to `gate`.
Future<int> waiting_call(Pipe& gate) {
  const int end = gate.reader.fd().get();
  return call_async([end] {
    char byte = 0;
    return static_cast<int>(::read(end, &byte, 1));
  });
}

TEST_F(CopiedHostTest, AFutureThatACopyDropsIsStillTheOriginals) {
  auto gate = Pipe::create().value();
  auto pending = std::make_optional(waiting_call(gate));
  in_a_fork([&] {
    EXPECT_TRUE(pending->wait_for(0ms)) << "there is nothing to wait for";
    pending->cancel();
    const auto nothing = pending->get();
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error().error->kind, ErrorKind::not_owner);
    pending.reset();
  });
  ASSERT_EQ(::write(gate.writer.fd().get(), "x", 1), 1);
  EXPECT_EQ(pending->get().value(), 1);
}

TEST_F(CopiedHostTest, ACopyThatDropsWhatItInheritedHasChildrenOfItsOwn) {
  auto gate = Pipe::create().value();
  auto first = std::make_optional(waiting_call(gate));
  auto second = std::make_optional(waiting_call(gate));
  in_a_fork([&] {
    first.reset();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(call([] {}));
    second.reset();
    EXPECT_TRUE(map(numbers(10), [](int n) { return n; }, {.workers = 2}).all_succeeded());
  });
  ASSERT_EQ(::write(gate.writer.fd().get(), "xx", 2), 2);
  EXPECT_EQ(first->get().value() + second->get().value(), 2);
}

TEST_F(CopiedHostTest, AChildThatDropsWhatItInheritedKeepsItsOwnFiles) {
  auto gate = Pipe::create().value();
  auto pending = std::make_optional(waiting_call(gate));
  auto pool = std::make_optional<Pool>(PoolOptions{.workers = 1});
  ASSERT_TRUE(pool->submit(test::twice, 4).get());
  const auto all_open = call([&] {
    const std::vector<int> mine = files_of_mine();
    pending.reset();
    pool.reset();
    return are_whole(mine);
  });
  EXPECT_TRUE(all_open.value());
  ASSERT_EQ(::write(gate.writer.fd().get(), "x", 1), 1);
  EXPECT_EQ(pending->get().value(), 1);
  EXPECT_EQ(pool->submit(test::twice, 4).get().value(), 8);
}

// ---- The memory of maps ----

struct SuccessiveMapsTest : test::CleanProcessTest {};

TEST_F(SuccessiveMapsTest, AMapFindsNothingOfTheOneBefore) {
  for (const int count : {1000, 10, 3000, 1}) {
    const auto results = map(numbers(count),
                             [count](int n) {
                               if (n % 7 == 3) throw std::runtime_error("no");
                               return n * count;
                             },
                             {.workers = 2});
    ASSERT_EQ(results.size(), static_cast<std::size_t>(count));
    for (int n = 0; n < count; ++n) {
      const auto result = results[static_cast<std::size_t>(n)];
      if (n % 7 == 3) {
        EXPECT_EQ(result.error().cause, Cause::threw) << n;
      } else {
        EXPECT_EQ(result.value(), n * count);
      }
    }
    EXPECT_TRUE(map(numbers(count), [](int n) { return n; }, {.workers = 2}).all_succeeded());
  }
}

TEST_F(SuccessiveMapsTest, ResultsOutliveTheMapsThatFollow) {
  const auto first = map(numbers(100), [](int n) { return n; }, {.workers = 2});
  const auto second = map(numbers(100), [](int n) { return -n; }, {.workers = 2});
  for (int n = 0; n < 100; ++n) {
    EXPECT_EQ(first[static_cast<std::size_t>(n)].value(), n);
    EXPECT_EQ(second[static_cast<std::size_t>(n)].value(), -n);
  }
}

struct alignas(256) Wide {
  int number;
};

TEST_F(SuccessiveMapsTest, SmallResultsAreAlignedAndWhole) {
  for (const auto isolation : {Isolation::shared, Isolation::strict, Isolation::process_per_item}) {
    const auto results =
        map(numbers(20), [](int n) { return Wide{n}; }, {.workers = 2, .isolation = isolation});
    for (int n = 0; n < 20; ++n) {
      const auto result = results[static_cast<std::size_t>(n)];
      EXPECT_EQ(result->number, n);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&*result) % alignof(Wide), 0u);
    }
  }
}

/// One more than what fits beside the tables of a map.
TEST_F(SuccessiveMapsTest, ResultsOfAnySizeAreWhole) {
  for (const int count : {16383, 16384, 16385}) {
    const auto results = map(numbers(count), [](int n) { return n ^ 5; }, {.workers = 2});
    for (int n = 0; n < count; ++n) ASSERT_EQ(results[static_cast<std::size_t>(n)].value(), n ^ 5);
  }
}

/// Whether `word` stands near the beginning of memory that this process shares with others.
bool is_in_shared_memory(const std::string& word) {
  constexpr std::size_t kNear = std::size_t{128} << 10;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    const bool shared = line.find("rw-s") != std::string::npos &&
                        line.find("/dev/zero") != std::string::npos &&
                        std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2;
    if (!shared) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): as the kernel writes it
    const auto* const at = reinterpret_cast<const char*>(begin);
    if (::memmem(at, std::min<std::size_t>(kNear, end - begin), word.data(), word.size()))
      return true;
  }
  return false;
}

/// Of the map before, whose memory is kept.
TEST_F(SuccessiveMapsTest, StrictOnesHaveNothingOfOthers) {
  struct Result {
    bool found;
    char rest[63];
  };
  const auto run = [](Isolation isolation) {
    return map(numbers(1000),  // as much as stands beside the tables, with either isolation
               [](int n) {
                 const std::string word = std::string("sec") + "ret";
                 Result result{n == 0 && is_in_shared_memory(word), {}};
                 if (n == 999) word.copy(result.rest, word.size());
                 return result;
               },
               {.workers = 1, .isolation = isolation});
  };
  ASSERT_TRUE(run(Isolation::shared).all_succeeded());
  EXPECT_TRUE(run(Isolation::shared)[0]->found) << "the next one has its memory";
  EXPECT_FALSE(run(Isolation::strict)[0]->found);
}

TEST_F(SuccessiveMapsTest, AForkedHostAndItsCopyMapAtOnce) {
  ASSERT_TRUE(map(numbers(10), [](int n) { return n; }, {.workers = 2}).all_succeeded());
  SharedSpan<std::atomic<int>> met(2);
  const auto rounds = [&](int sign, int own, int other) {
    for (int round = 1; round <= 20; ++round) {
      met[own].store(round);
      while (met[other].load() < round) ::sched_yield();
      const auto results = map(numbers(200), [sign](int n) { return sign * n; }, {.workers = 2});
      for (int n = 0; n < 200; ++n) {
        ASSERT_EQ(results[static_cast<std::size_t>(n)].value(), sign * n);
      }
    }
  };
  const pid_t copy = ::fork();
  if (copy == 0) {
    rounds(-1, 1, 0);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  rounds(1, 0, 1);
  int status = 0;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  EXPECT_EQ(status, 0);
}

TEST_F(SuccessiveMapsTest, WhereAddressSpaceIsShortTheyWorkAsWell) {
  in_a_fork([] {
    std::size_t pages = 0;  // that are in use
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t most = pages * 4096 + (rlim_t{4} << 30);
    const rlimit limit{most, most};
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
    for (int round = 0; round < 3; ++round) {
      EXPECT_TRUE(map(numbers(100), [](int n) { return n; }, {.workers = 2}).all_succeeded());
    }
    EXPECT_TRUE(std::make_unique<char[]>(std::size_t{512} << 20)) << "none of it is kept";
  });
}

TEST_F(SuccessiveMapsTest, MapsWithinItemsHaveTheirOwn) {
  ASSERT_TRUE(map(numbers(10), [](int n) { return n; }, {.workers = 2}).all_succeeded());
  const auto sums = map(numbers(6),
                        [](int n) {
                          const auto inner =
                              map(numbers(n + 1), [](int i) { return i; }, {.workers = 2});
                          int sum = 0;
                          for (const auto& each : inner) sum += each.value();
                          return sum;
                        },
                        {.workers = 2});
  for (int n = 0; n < 6; ++n) EXPECT_EQ(sums[static_cast<std::size_t>(n)].value(), n * (n + 1) / 2);
}

TEST_F(SuccessiveMapsTest, AfterAKilledWorkerTheNextIsRight) {
  const auto killed = map(numbers(50),
                          [](int n) {
                            if (n == 20) ::kill(::getpid(), SIGKILL);
                            return n;
                          },
                          {.workers = 2});
  EXPECT_EQ(killed[20].error().cause, Cause::signaled);
  const auto next = map(numbers(50), [](int n) { return n + 1; }, {.workers = 2});
  for (int n = 0; n < 50; ++n) EXPECT_EQ(next[static_cast<std::size_t>(n)].value(), n + 1);
}

}  // namespace
}  // namespace tine
