// SPDX-License-Identifier: MIT

/// One load, divided over 1, 2, 4 and 8 workers: what time(1) says of each, and whether it was
/// worth it. With an argument, a plot goes into that file: fork_load plot.svg
///
/// Shell:   time ./load 1; time ./load 8      # real goes down, user stays, sys goes up

#include <tine/tine.h>

#include <cstdio>
#include <fstream>
#include <ranges>
#include <string>
#include <vector>

namespace {

using Seconds = std::chrono::duration<double>;

constexpr int kPieces = 2000;  // many small ones, so that all workers end at about the same time

/// Some work that needs nothing but a CPU: primes in a row of numbers.
int work(int piece) {
  int primes = 0;
  for (int n = 100'000 + 1'000 * piece; n < 100'000 + 1'000 * (piece + 1); ++n) {
    bool prime = true;
    for (int divisor = 2; prime && divisor * divisor <= n; ++divisor) prime = n % divisor != 0;
    primes += prime ? 1 : 0;
  }
  return primes;
}

struct Row {
  int workers = 0;
  Seconds real{};
  Seconds user{};
  Seconds sys{};
  int primes = 0;
};

Row measure(int workers) {
  const auto results = tine::map(std::views::iota(0, kPieces), work, {.workers = workers});
  Row row{.workers = workers, .real = results.insights().wall};
  for (const auto& worker : results.insights().workers) {
    row.user += worker.usage.user;
    row.sys += worker.usage.sys;
  }
  for (const auto& primes : results) row.primes += primes.value_or(0);
  return row;
}

double speed_up(const Row& one, const Row& row) { return one.real / row.real; }

void print(const std::vector<Row>& rows) {
  std::printf("workers     real     user      sys  speed-up  efficiency  primes\n");
  for (const Row& row : rows) {
    const double faster = speed_up(rows.front(), row);
    std::printf("%7d %6.3f s %6.3f s %6.3f s %8.2f x %9.0f %%  %d\n", row.workers, row.real.count(),
                row.user.count(), row.sys.count(), faster, 100 * faster / row.workers, row.primes);
  }
}

/// The speed-up over the workers, beside the line that it would follow if it were perfect.
std::string plot(const std::vector<Row>& rows) {
  constexpr double kUnit = 40;  // pixels a worker
  const double size = kUnit * (rows.back().workers + 2);
  const auto x = [](double workers) { return std::to_string(kUnit * (workers + 1)); };
  const auto y = [size](double factor) { return std::to_string(size - kUnit * (factor + 1)); };
  const auto line = [&](double x1, double y1, double x2, double y2, const char* colour) {
    return "<line x1='" + x(x1) + "' y1='" + y(y1) + "' x2='" + x(x2) + "' y2='" + y(y2) +
           "' stroke='" + colour + "'/>\n";
  };
  const double most = rows.back().workers;
  std::string svg = "<svg xmlns='http://www.w3.org/2000/svg' font-family='sans-serif' width='" +
                    std::to_string(size) + "' height='" + std::to_string(size) + "'>\n";
  svg += "<rect width='100%' height='100%' fill='white'/>\n";
  svg += line(0, 0, most, 0, "black") + line(0, 0, 0, most, "black");
  svg += line(0, 0, most, most, "silver");
  svg += "<text x='" + x(most / 2) + "' y='" + y(-0.7) + "'>workers</text>\n";
  svg += "<text x='" + x(0.2) + "' y='" + y(most) + "'>speed-up; grey: perfect</text>\n";
  std::string points;
  for (const Row& row : rows) {
    const double faster = speed_up(rows.front(), row);
    points += x(row.workers) + "," + y(faster) + " ";
    svg += "<circle cx='" + x(row.workers) + "' cy='" + y(faster) + "' r='4'/>\n";
    svg += "<text x='" + x(row.workers) + "' y='" + y(-0.4) + "'>" + std::to_string(row.workers) +
           "</text>\n";
  }
  return svg + "<polyline points='" + points + "' fill='none' stroke='steelblue'/>\n</svg>\n";
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Row> rows;
  for (const int workers : {1, 2, 4, 8}) rows.push_back(measure(workers));
  print(rows);
  if (argc > 1) {
    std::ofstream file(argv[1]);
    if (!(file << plot(rows) << std::flush)) {
      std::fprintf(stderr, "cannot write %s\n", argv[1]);
      return 1;
    }
  }
  return 0;
}
