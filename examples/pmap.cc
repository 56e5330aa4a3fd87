// SPDX-License-Identifier: MIT

/// pmap(fn, items): the results in the order of the items, whatever happens to one of them; and a
/// process of its own for each item, where that is wanted.
///
/// Python:  Pool(4).map(fn, items)      # one exception and there are no results; one crash and it
///                                      # waits for ever

#include <tine/tine.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/// Every item takes another time, and not all end well.
std::string treat(int item) {
  ::usleep(static_cast<unsigned>(1000 * (8 - item)));
  if (item == 3) throw std::invalid_argument("three is not for me");
  if (item == 4) std::abort();
  if (item == 5) std::exit(0);
  return "item " + std::to_string(item) + " treated";
}

void in_order() {
  const auto results = tine::map(std::vector{1, 2, 3, 4, 5, 6, 7}, treat, {.workers = 3});
  for (const auto& result : results) {
    if (result) {
      std::printf("%s\n", result->c_str());
    } else {
      const tine::Failure& failure = result.error();
      std::printf("  no result: %s%s%s\n", std::string(to_string(failure.cause)).c_str(),
                  failure.message.empty() ? "" : ": ", failure.message.c_str());
    }
  }
}

/// What an item leaves in its process reaches no other when each has a worker of its own.
void a_process_each() {
  int visits = 0;  // copied into the workers, where items count on
  const auto visit = [&](int) { return std::pair(++visits, ::getpid()); };
  const std::vector<int> items(100);
  const auto shared = tine::map(items, visit, {.workers = 2});
  const auto alone = tine::map(items, visit, {.workers = 2, .recycle = {.after_items = 1}});

  const auto describe = [](const char* title, const auto& results) {
    std::set<pid_t> processes;
    int most = 0;
    for (const auto& result : results) {
      processes.insert(result->second);
      most = std::max(most, result->first);
    }
    std::printf("%s: a process for each item: %s, some saw what another left: %s\n", title,
                processes.size() == results.size() ? "yes" : "no", most > 1 ? "yes" : "no");
  };
  describe("shared workers", shared);
  describe("recycled after 1", alone);
}

}  // namespace

int main() {
  in_order();
  a_process_each();
  return 0;
}
