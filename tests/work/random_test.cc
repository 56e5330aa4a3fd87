// SPDX-License-Identifier: MIT

/// rng(): streams of processes, threads and items.

#include "tine/random.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/call.h"
#include "tine/shared.h"
#include "work/item_random.h"
#include "work/philox.h"

namespace tine {
namespace {

using work::ItemStreamScope;
using work::philox;
using work::use_item_stream;

struct PhiloxTest : test::CleanProcessTest {};
struct RandomTest : test::CleanProcessTest {
  void TearDown() override {
    use_item_stream(nullptr, 0);
    CleanProcessTest::TearDown();
  }
};
struct ItemRandomTest : RandomTest {};
struct RandomThreadsTest : test::CleanProcessTest {};

using Numbers = std::vector<std::uint64_t>;

Numbers draw(std::size_t count) {
  Numbers numbers(count);
  std::ranges::generate(numbers, std::ref(rng()));
  return numbers;
}

bool have_common(Numbers a, Numbers b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  Numbers both;
  std::ranges::set_intersection(a, b, std::back_inserter(both));
  return !both.empty();
}

// ---- The generator ----

// Source: Random123, tests/kat_vectors: counter, key, result
TEST_F(PhiloxTest, KnownAnswersOfItsAuthors) {
  constexpr std::uint64_t kOnes = ~std::uint64_t{0};
  static_assert(philox({0, 0, 0, 0}, {0, 0}) ==
                work::PhiloxCounter{0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b,
                                    0x7e68b68aec7ba23b});
  EXPECT_EQ(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (work::PhiloxCounter{0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6,
                                 0xa09caebf594f0ba0}));
  EXPECT_EQ(philox({0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89},
                   {0x452821e638d01377, 0xbe5466cf34e90c6c}),
            (work::PhiloxCounter{0xa528f45403e61d95, 0x38c72dbd566e9788, 0xa5a1610e72fd18b5,
                                 0x57bd43b5e52b7fe6}));
}

// Source: [rand.predef] of C++26
TEST_F(PhiloxTest, TenThousandthNumberIsThatOfTheStandard) {
  EXPECT_EQ(philox({9999 / 4, 0, 0, 0}, {20111115, 0})[9999 % 4], 3409172418970261260u);
}

// ---- Processes ----

template <class Fork>
void expect_that_the_child_draws_others(Fork make_child) {
  SharedSpan<std::uint64_t> childs(64);
  [[maybe_unused]] const auto first = rng()();  // the rest of this block is in both memories
  Rng& from_before = rng();
  const long pid = make_child();
  if (pid == 0) {
    std::ranges::generate(childs, std::ref(from_before));
    ::_exit(0);
  }
  const Numbers ours = draw(childs.size());
  ASSERT_EQ(::waitpid(static_cast<pid_t>(pid), nullptr, 0), pid);
  EXPECT_FALSE(have_common(ours, Numbers(childs.begin(), childs.end())));
  EXPECT_NE(childs[0], 0u);
}

TEST_F(RandomTest, ChildOfForkHasAStreamOfItsOwn) {
  expect_that_the_child_draws_others([] { return ::fork(); });
}

TEST_F(RandomTest, ChildOfForkWithoutHandlersHasAStreamOfItsOwn) {
  expect_that_the_child_draws_others([] { return ::_Fork(); });
}

TEST_F(RandomTest, ChildOfARawCloneHasAStreamOfItsOwn) {
  expect_that_the_child_draws_others(
      [] { return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); });
}

TEST_F(RandomTest, ManyChildrenAndGrandchildrenDrawDifferentNumbers) {
  std::set<std::uint64_t> seen;
  std::size_t drawn = 0;
  const auto add = [&](const Numbers& numbers) {
    drawn += numbers.size();
    seen.insert(numbers.begin(), numbers.end());
  };
  add(draw(3));
  for (int i = 0; i < 20; ++i) {
    add(call([] { return draw(5); }).value());
    add(call([] { return call([] { return draw(5); }).value(); }).value());
  }
  add(draw(3));
  EXPECT_EQ(seen.size(), drawn);
}

TEST_F(RandomTest, SeedGivesTheSameNumbersAgain) {
  seed(7);
  const Numbers first = draw(10);
  seed(8);
  EXPECT_FALSE(have_common(first, draw(10)));
  seed(7);
  EXPECT_EQ(draw(10), first);
  EXPECT_EQ(call([] { return seed(7), draw(10); }).value(), first);
}

TEST_F(RandomTest, SeededParentsChildrenAreNotSeeded) {
  seed(7);
  const Numbers one = call([] { return draw(10); }).value();
  const Numbers two = call([] { return draw(10); }).value();
  EXPECT_FALSE(have_common(one, two));
  seed(7);
  EXPECT_FALSE(have_common(one, draw(100)));
}

TEST_F(RandomTest, NumbersLookRandom) {
  seed(1);
  constexpr int kDraws = 1 << 16;
  double sum = 0;
  std::array<int, 64> ones{};
  std::array<int, 256> low_bytes{};
  std::uniform_real_distribution<double> unit;
  for (int i = 0; i < kDraws; ++i) {
    sum += unit(rng());
    const std::uint64_t number = rng()();
    for (std::size_t bit = 0; bit < 64; ++bit) ones[bit] += (number >> bit & 1) != 0 ? 1 : 0;
    ++low_bytes[number & 0xff];
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.006);  // 5 standard deviations
  for (const int count : ones) EXPECT_NEAR(count, kDraws / 2, 5 * 128);
  double chi_squared = 0;
  for (const int count : low_bytes) chi_squared += std::pow(count - 256.0, 2) / 256.0;
  EXPECT_NEAR(chi_squared, 255, 5 * 22.6);
}

// ---- Items ----

Numbers of_item(std::uint64_t index, std::uint64_t root, std::size_t count = 6) {
  const std::atomic<std::uint64_t> item{index};
  const ItemStreamScope scope(&item, root);
  return draw(count);
}

TEST_F(ItemRandomTest, NumbersBelongToRootSeedAndIndexAlone) {
  std::atomic<std::uint64_t> item{0};
  std::vector<Numbers> forward;
  use_item_stream(&item, 5);
  for (std::size_t i = 0; i < 20; ++i) {
    item = i;
    forward.push_back(draw(6));
  }
  for (std::uint64_t i = 20; i-- > 0;) {
    item = i;
    draw(i);  // how many an item draws is nothing to the next
    EXPECT_EQ(call([&] { return of_item(i, 5); }).value(), forward[i]);
    EXPECT_FALSE(have_common(of_item(i, 6), forward[i]));
  }
}

TEST_F(ItemRandomTest, NumbersOfNeighboursAreIndependent) {
  // The sign of a product of two centred variables: as often positive as not.
  constexpr int kItems = 10'000;
  int positive = 0;
  Numbers before = of_item(0, 1, 1);
  for (int i = 1; i <= kItems; ++i) {
    Numbers now = of_item(static_cast<std::uint64_t>(i), 1, 1);
    positive +=
        (static_cast<std::int64_t>(before[0]) < 0) == (static_cast<std::int64_t>(now[0]) < 0);
    before = std::move(now);
  }
  EXPECT_NEAR(positive, kItems / 2, 5 * 50);
}

TEST_F(ItemRandomTest, ItemAndSeededStreamOfTheSameNumberDiffer) {
  seed(5);
  EXPECT_FALSE(have_common(draw(100), of_item(0, 5, 100)));
}

TEST_F(ItemRandomTest, UsedAgainTheSameItemBeginsAgain) {
  const std::atomic<std::uint64_t> item{3};
  use_item_stream(&item, 5);
  const Numbers first = draw(6);
  EXPECT_NE(draw(6), first);  // further on in its stream
  use_item_stream(&item, 5);
  EXPECT_EQ(draw(6), first);
}

TEST_F(ItemRandomTest, StreamFromBeforeGoesOnAfterItems) {
  seed(7);
  Numbers whole = draw(16);
  seed(7);
  Numbers parts = draw(4);
  const std::atomic<std::uint64_t> item{3};
  use_item_stream(&item, 5);
  draw(3);
  use_item_stream(nullptr, 0);
  const Numbers rest = draw(4);
  parts.insert(parts.end(), rest.begin(), rest.end());
  EXPECT_EQ(parts, Numbers(whole.begin(), whole.begin() + 8));
}

TEST_F(ItemRandomTest, ItemWithinAnItemLeavesTheOuterOneAsItWas) {
  const Numbers whole = of_item(9, 1);
  const std::atomic<std::uint64_t> outer{9};
  use_item_stream(&outer, 1);
  Numbers parts = draw(3);
  EXPECT_EQ(of_item(3, 2), of_item(3, 2));
  const Numbers rest = draw(3);
  parts.insert(parts.end(), rest.begin(), rest.end());
  EXPECT_EQ(parts, whole);
}

TEST_F(ItemRandomTest, SeedWithinAnItemEndsWithIt) {
  seed(7);
  const Numbers seeded = draw(6);
  std::atomic<std::uint64_t> item{3};
  use_item_stream(&item, 5);
  draw(1);
  seed(7);
  EXPECT_EQ(draw(6), seeded);
  item = 4;
  EXPECT_EQ(draw(6), of_item(4, 5));
}

TEST_F(ItemRandomTest, ChildForkedWithinAnItemIsOutsideOfIt) {
  const std::atomic<std::uint64_t> item{3};
  use_item_stream(&item, 5);
  const Numbers childs = call([] { return draw(20); }).value();
  EXPECT_FALSE(have_common(childs, draw(200)));
  EXPECT_FALSE(have_common(childs, call([] { return draw(20); }).value()));
}

// ---- Threads ----

TEST_F(RandomThreadsTest, EachThreadDrawsItsOwn) {
  constexpr std::size_t kThreads = 8;
  std::array<Numbers, kThreads> drawn;
  {
    std::vector<std::jthread> threads;
    for (auto& numbers : drawn) threads.emplace_back([&numbers] { numbers = draw(1000); });
  }
  std::set<std::uint64_t> seen;
  for (const auto& numbers : drawn) seen.insert(numbers.begin(), numbers.end());
  EXPECT_EQ(seen.size(), kThreads * 1000);
}

TEST_F(RandomThreadsTest, SeedIsOfTheThreadThatCallsIt) {
  seed(7);
  const Numbers first = draw(10);
  seed(7);
  Numbers same;
  Numbers other;
  std::jthread([&] { seed(7), same = draw(10); }).join();
  std::jthread([&] { other = draw(10); }).join();
  EXPECT_EQ(same, first);
  EXPECT_FALSE(have_common(other, first));
  EXPECT_EQ(draw(10), first);
}

}  // namespace
}  // namespace tine
