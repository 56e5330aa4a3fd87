// SPDX-License-Identifier: MIT
/// What a map of 10^7 items adds to the memory of its process, when all results of 8 bytes have
/// been read: the high-water mark, shared pages included, less what there was before.
///
///   map_memory     prints: KIB
#include <tine/tine.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <ranges>
#include <string>

namespace {

long kib_of(const std::string& wanted) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(wanted)) return std::stol(line.substr(wanted.size()));
  }
  return -1;
}

}  // namespace

int main() {
  constexpr std::uint64_t kItems = 10'000'000;
  // Its own pages, and those of the libraries, are there before.
  if (!tine::map(std::views::iota(0, 2), [](int) { return 1; }).all_succeeded()) return 1;
  std::ofstream("/proc/self/clear_refs") << "5";  // the high-water mark begins anew
  const long before = kib_of("VmRSS:");
  const auto results = tine::map(std::views::iota(std::uint64_t{0}, kItems),
                                 [](std::uint64_t item) { return item; });
  std::uint64_t sum = 0;
  for (const auto& result : results) sum += *result;
  if (sum != kItems * (kItems - 1) / 2) return 1;
  std::printf("%ld\n", kib_of("VmHWM:") - before);
}
