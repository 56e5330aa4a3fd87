// SPDX-License-Identifier: MIT

/// Items divided over N children by hand: each has one slice, and the first ones take one item more
/// where the division leaves some over. Then the same by tine::map, which needs no division.
///
/// Python:  size = len(items) // n      # and the last len(items) % n items? Of nobody, or all of
///                                      # them the last child's: it then works longest

#include <tine/tine.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ranges>
#include <vector>

using tine::throwing::value;

namespace {

struct Slice {
  std::size_t begin;
  std::size_t end;  ///< behind the last
};

Slice slice_of(std::size_t child, std::size_t children, std::size_t items) {
  const std::size_t each = items / children;
  const std::size_t left_over = items % children;
  const std::size_t begin = child * each + std::min(child, left_over);
  return {begin, begin + each + (child < left_over ? 1 : 0)};
}

/// How often each item was worked on, seen by this process and its children alike.
using Count = tine::SharedSpan<std::atomic<int>>;

void report(const Count& done) {
  const auto once = std::ranges::count_if(done, [](const auto& times) { return times == 1; });
  std::printf("  %td of %zu items done exactly once\n", once, done.size());
}

void by_hand(std::size_t items, std::size_t children) {
  std::printf("%zu items, %zu children\n", items, children);
  Count done(items);
  std::vector<tine::Child> running;
  for (std::size_t child = 0; child < children; ++child) {
    const Slice slice = slice_of(child, children, items);
    std::printf("  child %zu: %zu items, from %zu to before %zu\n", child, slice.end - slice.begin,
                slice.begin, slice.end);
    running.push_back(value(tine::launch([&] {
      for (std::size_t item = slice.begin; item < slice.end; ++item) ++done[item];
    })));
  }
  for (const auto& finished : tine::wait_all(running)) {
    if (!value(finished).status.success()) std::printf("  a child did not finish its slice\n");
  }
  report(done);
}

/// Workers begin with such slices too, but one that is through takes half of another's rest.
void by_map(std::size_t items, int workers) {
  std::printf("%zu items by tine::map, %d workers\n", items, workers);
  Count done(items);
  const auto results = tine::map(std::views::iota(std::size_t{0}, items),
                                 [&](std::size_t item) { ++done[item]; }, {.workers = workers});
  report(done);
  std::printf("  failed: %zu\n", results.failures().items());
}

}  // namespace

int main() try {
  by_hand(10, 4);
  by_hand(8, 4);
  by_hand(2, 3);
  by_map(100'000, 4);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
