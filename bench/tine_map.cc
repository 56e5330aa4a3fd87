// SPDX-License-Identifier: MIT
/// A map of ints to ints over two workers through tine, beside the bare one in one process.
///
///   tine_map --items N [--work empty|spin|skewed|tail] [--size MICROSECONDS] [--memory MIB]
///            [--count N] [--rounds R] [--variants bare,tine]
#include <tine/tine.h>

#include "map_work.h"
#include "reference/bare_map.h"
#include "rounds.h"

namespace {

template <class Run>
long long tine_map(const std::vector<int>& items, const Run& run) {
  const auto results = tine::map(items, run, {.workers = bench::kWorkers});
  long long sum = 0;
  for (const auto& result : results) {
    if (!result) bench::fail(result.error().to_string());
    sum += *result;
  }
  return sum;
}

template <class Run>
void measure(const bench::Work& work, const bench::Options& options, const Run& run) {
  if (bench::bare_map(work.items, run) != tine_map(work.items, run)) bench::fail("other results");
  bench::measure({{"bare", [&] { bench::sum_of_results = bench::bare_map(work.items, run); }},
                  {"tine", [&] { bench::sum_of_results = tine_map(work.items, run); }}},
                 options);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  const bench::Work work(options);
  if (work.kind == bench::Work::Kind::empty) {
    measure(work, options, [](int item) { return item + 1; });
  } else {
    measure(work, options, [&work](int item) { return work.run(item); });
  }
}
