// SPDX-License-Identifier: MIT

/// Children that give data back: the numbers 1..N are split over P children, and each returns what
/// it found as a map. No file is named after a pid, and what goes wrong in one child is a value.
///
/// Python:  with open(f"/tmp/{os.getpid()}", "wb") as f: pickle.dump(found, f)   # in the child
///          for pid in children: found = pickle.load(open(f"/tmp/{pid}", "rb"))  # if it is there

#include <tine/tine.h>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Found = std::map<std::string, std::vector<int>>;

bool is_prime(int number) {
  for (int divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return number > 1;
}

Found look_at(int first, int last) {
  Found found;
  for (int number = first; number <= last; ++number) {
    found[is_prime(number) ? "prime" : "composite"].push_back(number);
    if (number == 25) throw std::runtime_error("this one does not like 25");
  }
  return found;
}

}  // namespace

int main() {
  constexpr int kNumbers = 40;
  constexpr int kChildren = 4;
  constexpr int kEach = kNumbers / kChildren;
  std::vector<tine::Future<Found>> children;
  for (int i = 0; i < kChildren; ++i) {
    children.push_back(tine::call_async(look_at, i * kEach + 1, (i + 1) * kEach));
  }
  for (auto& child : children) {
    const tine::Result<Found> found = child.get();
    if (!found) {
      std::printf("no result: %s: %s\n", found.error().type.c_str(), found.error().message.c_str());
      continue;
    }
    for (const auto& [kind, numbers] : *found) {
      std::printf("%zu %s, the last is %d\n", numbers.size(), kind.c_str(), numbers.back());
    }
  }
}
