// SPDX-License-Identifier: MIT

/// Shared and SharedSpan.

#include "tine/shared.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <complex>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/clean_process_test.h"
#include "support/refuse_call.h"
#include "tine/call.h"
#include "tine/fork_mutex.h"
#include "tine/launch.h"

namespace tine {
namespace {

struct SharedTest : test::CleanProcessTest {};
struct SharedNoAsanTest : test::CleanProcessTest {};

// ---- What may be shared ----

struct Counters {
  std::atomic<int> done{3};
  alignas(64) std::atomic<long> bytes;
  int table[4];
};
struct Nested {
  Counters counters;
  std::array<double, 2> range;
  std::optional<int> limit;
};
class Opaque {
 public:
  explicit Opaque(int value) : value_(value) {}
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_;
};
struct Based : Counters {
  int more;
};
struct PlainBase {
  int a;
};
struct PlainDerived : PlainBase {
  int b;
};
struct WithMutex {
  int a;
  std::mutex mutex;
};
struct WithView {
  int a;
  std::string_view view;
};
struct WithReference {
  int& number;
};
struct WithForkMutex {
  ForkMutex mutex;
};
struct Node {
  int value;
  Node* next;
};
struct KnownNode {
  int value;
  KnownNode* next;
};

}  // namespace

template <>
constexpr bool shareable<KnownNode> = true;

namespace {

static_assert(shareable<int> && shareable<long double> && shareable<ErrorKind>);
static_assert(shareable<std::atomic<int>> && shareable<std::atomic_flag>);
static_assert(shareable<Counters> && shareable<Nested> && shareable<std::array<Counters, 3>>);
static_assert(shareable<Opaque> && shareable<PlainDerived> && shareable<std::complex<double>>);
static_assert(shareable<KnownNode>);
static_assert(!shareable<std::mutex> && !shareable<WithMutex> && !shareable<ForkMutex>);
static_assert(!shareable<WithForkMutex> && !shareable<std::string> && !shareable<std::vector<int>>);
static_assert(!shareable<int*> && !shareable<Node> && !shareable<WithView>);
static_assert(!shareable<WithReference> && !shareable<std::unique_ptr<int>>);
static_assert(!shareable<std::atomic<int*>>);
static_assert(!shareable<std::atomic<std::array<char, 64>>>, "it would take a lock of the process");
static_assert(!std::is_copy_constructible_v<Shared<int>>);
static_assert(std::is_nothrow_move_constructible_v<Shared<Counters>>);

template <class Body>
void in_a_call(Body body) {
  EXPECT_TRUE(launch(body).value().wait().value().status.success());
}

// ---- Shared ----

TEST_F(SharedTest, ChangesOfAChildAreSeenHere) {
  Shared<int> number{40};
  Shared<Nested> nested;
  in_a_call([&] {
    *number += 2;
    nested->counters.done = 5;
    nested->limit = 7;
  });
  EXPECT_EQ(*number, 42);
  EXPECT_EQ(nested->counters.done, 5);
  EXPECT_EQ(nested->limit, 7);
}

TEST_F(SharedTest, ChangesOfTheParentAreSeenInARunningChild) {
  Shared<std::atomic<int>> turn{0};
  auto child = launch([&] {
                 turn->store(1);
                 while (turn->load() != 2) {
                 }
                 turn->store(3);
               }).value();
  EXPECT_TRUE(test::eventually([&] { return *turn == 1; }));
  turn->store(2);
  EXPECT_TRUE(child.wait().value().status.success());
  EXPECT_EQ(*turn, 3);
}

TEST_F(SharedTest, MadeFromArgumentsAndOtherwiseZero) {
  EXPECT_EQ(Shared<Opaque>(5)->value(), 5);
  EXPECT_EQ(**std::make_unique<const Shared<int>>(6), 6);
  const Shared<PlainBase> aggregate(9);
  EXPECT_EQ(aggregate->a, 9);
  EXPECT_EQ(*Shared<double>(), 0);
  EXPECT_EQ(Shared<Counters>()->done, 3);  // its own initialiser
}

TEST_F(SharedTest, ManyChildrenAddToOneCounter) {
  Shared<std::atomic<int>> counter;
  std::vector<Child> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(launch([&] {
                         for (int k = 0; k < 1000; ++k) ++*counter;
                       }).value());
  }
  for (auto& child : children) EXPECT_TRUE(child.wait().value().status.success());
  EXPECT_EQ(*counter, 8000);
}

TEST_F(SharedTest, DestroyedInTheChildItStaysHere) {
  std::optional<Shared<int>> number(5);
  in_a_call([&] {
    **number = 6;
    number.reset();
  });
  EXPECT_EQ(**number, 6);
  int* const at = &**number;
  number.reset();
  EXPECT_TRUE(::msync(at, 1, MS_ASYNC) == -1 && errno == ENOMEM) << "it is mapped still";
}

TEST_F(SharedTest, MovesWithItsMemory) {
  Shared<int> one{1};
  int* const at = &*one;
  Shared<int> two = std::move(one);
  EXPECT_EQ(&*two, at);
  Shared<int> three{3};
  three = std::move(two);
  in_a_call([&] { ++*three; });
  EXPECT_EQ(*three, 2);
}

TEST_F(SharedTest, ValueOfAKilledChildStays) {
  SharedSpan<int> numbers(10);
  auto failed = call([&] {
    std::iota(numbers.begin(), numbers.end(), 1);
    ::raise(SIGKILL);
  });
  EXPECT_EQ(failed.error().cause, Cause::signaled);
  EXPECT_EQ(numbers[9], 10);
}

// ---- SharedSpan ----

TEST_F(SharedTest, ChildrenFillPartsOfASpanInPlace) {
  constexpr std::size_t kEach = 100'000;
  SharedSpan<std::size_t> numbers(4 * kEach);
  EXPECT_TRUE(std::ranges::all_of(numbers, [](auto n) { return n == 0; }));
  std::vector<Child> children;
  for (std::size_t i = 0; i < 4; ++i) {
    children.push_back(launch([&, i] {
                         const auto part = numbers.span().subspan(i * kEach, kEach);
                         std::iota(part.begin(), part.end(), i * kEach);
                       }).value());
  }
  for (auto& child : children) EXPECT_TRUE(child.wait().value().status.success());
  for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], i);
}

TEST_F(SharedTest, ElementsHaveTheirInitialisers) {
  const SharedSpan<Counters> counters(3);
  EXPECT_EQ(counters.size(), 3u);
  for (const auto& each : counters) EXPECT_EQ(each.done, 3);
}

TEST_F(SharedTest, EmptySpanIsOne) {
  SharedSpan<int> none(0);
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.begin(), none.end());
  none = SharedSpan<int>(2);
  EXPECT_EQ(none.size(), 2u);
}

TEST_F(SharedTest, ListInSharedMemoryHasTheSameAddressesEverywhere) {
  SharedSpan<KnownNode> nodes(2);
  in_a_call([&] { nodes[0] = {1, &nodes[1]}, nodes[1] = {2, nullptr}; });
  EXPECT_EQ(nodes[0].next->value, 2);
}

TEST_F(SharedTest, MoreThanThereCanBeIsBadAlloc) {
  EXPECT_THROW(SharedSpan<double>(~std::size_t{0} / 2), std::bad_alloc);
  EXPECT_THROW(SharedSpan<char>(std::size_t{1} << 60), std::bad_alloc);
}

TEST_F(SharedNoAsanTest, RefusedAddressSpaceIsBadAlloc) {
  test::in_a_fork([] {
    const rlimit limit{256 << 20, 256 << 20};
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &limit), 0);
    EXPECT_THROW(SharedSpan<char>(512 << 20), std::bad_alloc);
    EXPECT_EQ(SharedSpan<char>(1 << 20).size(), std::size_t{1} << 20);
  });
}

TEST_F(SharedNoAsanTest, PagesThatCannotBeHadAreBadAlloc) {
  test::in_a_fork([] {
    constexpr std::uint32_t kPopulateWrite = 23;  // MADV_POPULATE_WRITE
    test::refuse_call(SYS_madvise, kPopulateWrite, ENOMEM);
    EXPECT_THROW(Shared<int>{}, std::bad_alloc);
    EXPECT_THROW(SharedSpan<int>(5), std::bad_alloc);
  });
}

}  // namespace
}  // namespace tine
