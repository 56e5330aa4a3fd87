// SPDX-License-Identifier: MIT

/// docs/library.md: a map without an end, and one that is folded.

#include <tine/tine.h>

#include <cstdio>
#include <functional>
#include <ranges>
#include <stdexcept>
#include <string>

int main() {
  // Inputs that never end: pulled as they are needed, at most eight ahead.
  const auto square = [](long n) {
    if (n == 3) throw std::domain_error("three is not for us");
    return n * n;
  };
  for (auto& [index, result] :
       tine::map_ordered(std::views::iota(1L), square, {.workers = 2, .window = 8})) {
    if (result) {
      std::printf("%zu: %ld\n", index, *result);
    } else {
      std::printf("%zu: %s\n", index, result.error().message.c_str());
    }
    if (index == 4) break;  // the workers end here
  }

  // As they come: the order is not that of the inputs, but each result has its index.
  std::size_t length = 0;
  static const std::string words[] = {"tine", "fork", "wait", "exec"};
  for (auto& [index, result] :
       tine::map_unordered(words, [](const std::string& word) { return word + words[0]; })) {
    length += result.value().size();
  }
  std::printf("characters: %zu\n", length);

  // In workers, then folded here, in the order of the inputs.
  const auto sum =
      tine::map_reduce(std::views::iota(1, 101), [](int n) { return n; }, 0, std::plus<>());
  std::printf("sum: %d\n", sum.value());
}
