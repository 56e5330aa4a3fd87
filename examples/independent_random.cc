// SPDX-License-Identifier: MIT

/// Random numbers in children. A fork copies the state of every generator, so children that draw
/// from an inherited one all draw the same numbers; tine::rng() gives each process its own.
///
/// Python:  print(random.random())        # in each forked child: the same number
///          random.seed(os.getpid())      # the usual cure: other numbers in every run, and pids
///                                        # come back

#include <tine/tine.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <ranges>
#include <set>
#include <vector>

using tine::throwing::value;

namespace {

constexpr int kChildren = 4;

/// What `draw` gives in each of some children.
template <class Draw>
std::vector<std::uint64_t> in_children(Draw draw) {
  std::vector<std::uint64_t> drawn;
  for (int child = 0; child < kChildren; ++child) {
    drawn.push_back(value(tine::call([&] { return std::uint64_t{draw(child)}; })));
  }
  return drawn;
}

void show(const char* title, const std::vector<std::uint64_t>& numbers) {
  std::printf("%s:", title);
  for (const auto number : numbers) std::printf(" %llu", static_cast<unsigned long long>(number));
  std::printf("\n");
}

std::size_t different(const std::vector<std::uint64_t>& numbers) {
  return std::set(numbers.begin(), numbers.end()).size();
}

void flaw() {
  std::mt19937 inherited{2026};
  const auto numbers = in_children([&](int) { return inherited(); });
  show("std::mt19937 in 4 children", numbers);
  std::printf("  and then in the parent: %s\n", inherited() == numbers[0] ? "the same" : "another");
}

void cure() {
  auto numbers = in_children([](int) { return tine::rng()(); });
  numbers.push_back(tine::rng()());
  std::printf("tine::rng() in 4 children and the parent: %zu different numbers\n",
              different(numbers));

  // The generator is as good as any to the distributions of the standard library.
  const double height = std::normal_distribution<double>{180, 8}(tine::rng());
  std::printf("a height: %s\n", height > 100 && height < 260 ? "plausible" : "remarkable");
}

void same_in_every_run() {
  const auto roll = [] { return std::uniform_int_distribution<>{1, 6}(tine::rng()); };
  tine::seed(2026);
  std::printf("seeded, in every run: %d %d %d %d\n", roll(), roll(), roll(), roll());
  std::printf("its children are not: %zu different numbers\n",
              different(in_children([](int) { return tine::rng()(); })));

  // A child whose numbers shall be known seeds itself, from what it is to do and not from its pid.
  const auto numbered = [](int child) {
    tine::seed(1000 + static_cast<std::uint64_t>(child));
    return tine::rng()() % 1000;
  };
  show("seeded by their number", in_children(numbered));
  show("                 again", in_children(numbered));
}

/// Within a map the numbers belong to the item, so they do not depend on who runs it, or when.
void same_for_any_number_of_workers() {
  const auto draw = [](int) { return std::uniform_int_distribution<>{1, 100}(tine::rng()); };
  for (const int workers : {1, 3}) {
    const auto drawn =
        value(tine::map(std::views::iota(0, 8), draw, {.workers = workers, .seed = 2026}).values());
    std::printf("eight items, %d worker%s:", workers, workers == 1 ? " " : "s");
    for (const int number : drawn) std::printf(" %d", number);
    std::printf("\n");
  }
}

}  // namespace

int main() try {
  flaw();
  cure();
  same_in_every_run();
  same_for_any_number_of_workers();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
