// SPDX-License-Identifier: MIT
/// A map whose results are strings of 20 to 200 bytes, beside a loop in this process, which no map
/// that gives such strings back can leave behind by much: it makes each of them once.
///
///   map_strings --items N [--count N] [--rounds R] [--variants loop,tine]
#include <tine/tine.h>

#include <numeric>

#include "rounds.h"

namespace {

std::string text_of(int item) {
  return std::string(20 + static_cast<std::size_t>(item) * 7 % 181, 'x');
}

std::size_t total_of_map(const std::vector<int>& items) {
  const auto results = tine::map(items, text_of, {.workers = 2});
  std::size_t total = 0;
  for (const auto& result : results) {
    if (!result) bench::fail(result.error().to_string());
    total += result->size();
  }
  return total;
}

std::size_t total_of_loop(const std::vector<int>& items) {
  std::vector<std::string> texts;
  texts.reserve(items.size());
  for (const int item : items) texts.push_back(text_of(item));
  std::size_t total = 0;
  for (const std::string& text : texts) total += text.size();
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  std::vector<int> items(static_cast<std::size_t>(options.items));
  std::iota(items.begin(), items.end(), 0);
  std::size_t expected = 0;
  for (const int item : items) expected += text_of(item).size();
  const auto measured = [&](auto* total_of) {
    return [&items, expected, total_of] {
      if (total_of(items) != expected) bench::fail("bytes are missing");
    };
  };
  bench::measure({{"loop", measured(total_of_loop)}, {"tine", measured(total_of_map)}}, options);
}
