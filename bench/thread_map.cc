// SPDX-License-Identifier: MIT
/// The same maps in threads: OpenMP and TBB. A program of its own, for a fork wants none of their
/// threads around; they are warm, which forked workers never are.
///
///   thread_map --items N [--work ...] [--size MICROSECONDS] [--variants dynamic,guided,tbb]
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <unistd.h>

#include "map_work.h"
#include "rounds.h"

namespace {

using Results = std::vector<int>;

template <class Run>
void dynamic(const bench::Work& work, Results& results, const Run& run) {
  // One item at a time, but where there is nothing in it.
  const int chunk = work.kind == bench::Work::Kind::empty ? 1024 : 1;
#pragma omp parallel for schedule(dynamic, chunk) num_threads(bench::kWorkers)
  for (std::size_t i = 0; i < work.count; ++i) results[i] = run(work.items[i]);
}

template <class Run>
void guided(const bench::Work& work, Results& results, const Run& run) {
#pragma omp parallel for schedule(guided) num_threads(bench::kWorkers)
  for (std::size_t i = 0; i < work.count; ++i) results[i] = run(work.items[i]);
}

template <class Run>
void with_tbb(const bench::Work& work, Results& results, const Run& run) {
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, work.count), [&](const auto& range) {
    for (std::size_t i = range.begin(); i < range.end(); ++i) results[i] = run(work.items[i]);
  });
}

/// Idle threads of OpenMP spin for some milliseconds, which is no business of who comes next.
constexpr auto kSettling = 10'000;  // microseconds

template <class Run>
void measure(const bench::Work& work, const bench::Options& options, const Run& run) {
  const auto with = [&](auto each) {
    return [&work, &run, each] {
      Results results(work.count);
      each(work, results, run);
      bench::sum_of_results = std::accumulate(results.begin(), results.end(), 0LL);
    };
  };
  const auto settle = [&work] {
    if (work.kind != bench::Work::Kind::empty) usleep(kSettling);
  };
  bench::measure({{"dynamic", with([](auto&... all) { dynamic(all...); }), settle},
                  {"guided", with([](auto&... all) { guided(all...); }), settle},
                  {"tbb", with([](auto&... all) { with_tbb(all...); }), settle}},
                 options);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  const tbb::global_control two(tbb::global_control::max_allowed_parallelism, bench::kWorkers);
  const bench::Work work(options);
  if (work.kind == bench::Work::Kind::empty) {
    measure(work, options, [](int item) { return item + 1; });
  } else {
    measure(work, options, [&work](int item) { return work.run(item); });
  }
}
