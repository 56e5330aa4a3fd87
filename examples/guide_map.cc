// SPDX-License-Identifier: MIT

/// docs/library.md: maps over many inputs, and their options one by one.

#include <tine/tine.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::string cause(const tine::Failure& failure) { return std::string(to_string(failure.cause)); }

void results() {
  const std::vector<std::string> words{"tine", "", "fork"};
  const auto letters = tine::map(words, [](const std::string& word) { return word.at(0); });
  for (const auto& [word, letter] : tine::zip(words, letters)) {
    if (letter) {
      std::printf("'%s' begins with %c\n", word.c_str(), *letter);
    } else {
      std::printf("'%s': %s of %s\n", word.c_str(), cause(letter.error()).c_str(),
                  letter.error().type.c_str());
    }
  }
  // All, or the first failure; all, with something in place of what failed.
  std::printf("all: %s\n", letters.values() ? "yes" : "no");
  for (const char letter : letters.values_or('?')) std::printf("%c", letter);
  std::printf("\n");
}

void several_arguments() {
  const std::vector<int> widths{2, 3, 4};
  const std::vector<int> heights{5, 6, 7};
  const auto areas = tine::map(tine::zip(widths, heights), [](int w, int h) { return w * h; });
  for (const auto& area : areas) std::printf("area %d\n", area.value());
}

void failures() {
  const auto outcome = tine::map(numbers(6),
                                 [](int n) {
                                   if (n == 1) throw std::runtime_error("thrown");
                                   if (n == 2) std::abort();
                                   if (n == 3) std::exit(7);
                                   if (n == 4)
                                     for (;;) ::pause();
                                   return n;
                                 },
                                 {.timeout = 100ms, .workers = 2});
  for (std::size_t n = 0; n < outcome.size(); ++n) {
    std::printf("item %zu: %s\n", n, outcome[n] ? "fine" : cause(outcome[n].error()).c_str());
  }
}

void retries() {
  tine::SharedSpan<std::atomic<int>> tried(3);
  const auto fetch = [&](int n) {
    const int attempt = ++tried[static_cast<std::size_t>(n)];
    if (n == 1 && attempt < 3) throw std::runtime_error("busy");
    if (n == 2) throw std::invalid_argument("hopeless");
    return attempt;
  };
  const auto outcome =
      tine::map(numbers(3), fetch,
                {.retries = 5,
                 .retry_if = [](const tine::Failure& failure) { return failure.message == "busy"; },
                 .retry_delay = [](int attempt) { return attempt * 1ms; }});
  std::printf("attempts: %d, %d, and %d in vain\n", *outcome[0], *outcome[1],
              outcome[2].error().attempts);
}

void state() {
  // Loaded once per worker, not once per item.
  const auto lengths = tine::map(numbers(100),
                                 tine::with_state([] { return std::string(1000, 'x'); },
                                                  [](std::string& model, int n) {
                                                    return model.size() + static_cast<size_t>(n);
                                                  }),
                                 {.workers = 2});
  std::printf("with a state: %zu to %zu\n", *lengths[0], *lengths[99]);

  const auto none = tine::map(
      numbers(100), tine::with_state([]() -> int { throw std::runtime_error("no model"); },
                                     [](int, int n) { return n; }));
  std::printf("without: %zu of 100 failed, each because of '%s'\n", none.failures().items(),
              none[99].error().message.c_str());
}

void stop() {
  const auto outcome = tine::map(numbers(1000),
                                 [](int n) {
                                   if (n == 10) throw std::runtime_error("stop here");
                                   return n;
                                 },
                                 {.workers = 1, .stop = tine::kStopAtFirstFailure, .chunk = 1});
  std::printf("item 10: %s; item 999: %s\n", cause(outcome[10].error()).c_str(),
              cause(outcome[999].error()).c_str());
}

void looking_on() {
  std::size_t calls = 0;
  const auto outcome = tine::map(numbers(1000), [](int n) { return n; },
                                 {.workers = 2, .progress = [&](const tine::MapProgress& now) {
                                    ++calls;
                                    if (now.done == now.items) std::printf("all done\n");
                                  }});
  const tine::MapInsights& insights = outcome.insights();
  std::size_t items = 0;
  for (const auto& worker : insights.workers) items += worker.items;
  std::printf("progress was told: %s; %zu items by the workers, %zu of which died\n",
              calls > 0 ? "yes" : "no", items, insights.deaths);
}

void same_numbers() {
  const auto roll = [](int) { return tine::rng()() % 6 + 1; };
  const auto alone = tine::map(numbers(5), roll, {.workers = 1, .seed = 2026});
  const auto together = tine::map(numbers(5), roll, {.workers = 3, .seed = 2026});
  for (const auto& [one, other] : tine::zip(alone, together)) {
    std::printf("%d %d, ", static_cast<int>(*one), static_cast<int>(*other));
  }
  std::printf("by one worker and by three\n");
}

}  // namespace

int main() {
  results();
  several_arguments();
  failures();
  retries();
  state();
  stop();
  looking_on();
  same_numbers();
  return 0;
}
