// SPDX-License-Identifier: MIT
/// Warm workers through tine, beside bare ones in one process: a map, a round trip of one task,
/// the same after a pause, and many tasks that are submitted one by one.
///
///   tine_pool --work map --items N [--count N] [--rounds R] [--variants bare,known,tine]
///   tine_pool --work hot|parked|rate [...] [--variants ring,pipe,tine]
#include <tine/tine.h>

#include <chrono>
#include <optional>

#include "map_work.h"
#include "reference/bare_pool.h"
#include "rounds.h"

namespace {

constexpr int kPlusOneTrips = 2000;
constexpr auto kPause = std::chrono::milliseconds(30);

int plus_one(int item) { return item + 1; }
long next(long value) { return value + 1; }

double nanoseconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - began).count();
}

/// The mean of so many, in nanoseconds.
template <class Call>
double each_of(int count, const Call& call) {
  const auto began = std::chrono::steady_clock::now();
  for (long i = 0; i < count; ++i) {
    if (call(i) != i + 1) bench::fail("another result");
  }
  return nanoseconds_since(began) / count;
}

/// Until the results are there; that they are right is seen afterwards.
void measure_maps(const bench::Options& options) {
  const bench::Work work(options);
  const auto run = [](int item) { return item + 1; };
  bench::BareMapPool bare(work.count, run);
  tine::Pool pool{{.workers = bench::kWorkers}};
  double elapsed = 0;
  const auto timed = [&](const auto& map, const auto& value) {
    const auto began = std::chrono::steady_clock::now();
    const auto results = map();
    elapsed = nanoseconds_since(began);
    for (std::size_t i = 0; i < work.count; ++i) {
      if (value(results, i) != static_cast<int>(i) + 1) bench::fail("another result");
    }
  };
  const auto of_array = [](const int* results, std::size_t i) { return results[i]; };
  const auto of_results = [](const auto& results, std::size_t i) { return results[i].value(); };
  const auto figure = [&] { return elapsed; };
  const auto by_bare = [&] { timed([&] { return bare.map(work.items); }, of_array); };
  const auto by_known = [&] { timed([&] { return bare.run(work.count); }, of_array); };
  const auto by_tine = [&] { timed([&] { return pool.map(work.items, run); }, of_results); };
  by_bare();
  bench::measure({{"bare", by_bare, {}, figure},
                  {"known", by_known, {}, figure},
                  {"tine", by_tine, {}, figure}},
                 options);
}

/// A round trip: many in a row, or one after a pause in which all have gone to sleep.
void measure_trips(const bench::Options& options, bool parked) {
  bench::BareRing ring;
  bench::BarePipe pipe;
  tine::Pool pool{{.workers = bench::kWorkers}};
  const int count = parked ? 1 : kPlusOneTrips;
  double each = 0;
  const auto variant = [&](const std::string& name, auto call) {
    return bench::Variant{name, [&each, count, call] { each = each_of(count, call); },
                          [parked] {
                            if (parked) ::usleep(std::chrono::microseconds(kPause).count());
                          },
                          [&each] { return each; }};
  };
  bench::measure(
      {variant("ring", [&](long value) { return ring.call(value); }),
       variant("pipe", [&](long value) { return pipe.call(value); }),
       variant("tine", [&](long value) { return pool.submit(next, value).get().value(); })},
      options);
}

void measure_rate(const bench::Options& options) {
  tine::Pool pool{{.workers = bench::kWorkers}};
  const auto count = static_cast<std::size_t>(options.items);
  double each = 0;
  std::vector<tine::PoolFuture<int>> futures;
  futures.reserve(count);
  const auto once = [&] {
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < count; ++i) {
      futures.push_back(pool.submit(plus_one, static_cast<int>(i)));
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (futures[i].get().value() != static_cast<int>(i) + 1) bench::fail("another result");
    }
    each = nanoseconds_since(began) / static_cast<double>(count);
    futures.clear();
  };
  bench::measure({{"tine", once, {}, [&] { return each; }}}, options);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  if (options.work == "map") {
    measure_maps(options);
  } else if (options.work == "hot" || options.work == "parked") {
    measure_trips(options, options.work == "parked");
  } else if (options.work == "rate") {
    measure_rate(options);
  } else {
    bench::fail("--work map, hot, parked or rate");
  }
}
