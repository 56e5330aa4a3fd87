// SPDX-License-Identifier: MIT
/// Measures several variants of one thing in turn, A B C B C A, so that a busy neighbour disturbs
/// all of them alike and the ratios within a round stay true. Prints per round and variant one
/// line, `NAME NANOSECONDS`, the median of one execution, and after each round a line `end`.
///
/// Smallest use: `bench::measure({{"vfork", [&] { start_and_wait(); }}}, {.count = 100});`
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct Options {
  long count = 100;  ///< executions of each variant in a round
  long rounds = 5;   ///< 0: a round for each line on stdin, until its end, after the word `ready`
  long memory = 0;   ///< MiB that the measuring process holds, touched, in 4 KiB pages
  std::string variants;        ///< names separated by commas; empty: all
  std::string size;            ///< for the programs that move bytes: as head -c takes it
  std::string work;            ///< for the maps: what an item does
  long items = 0;              ///< and how many there are
  std::vector<char*> command;  ///< what is left of argv, ended by a null pointer
};

struct Variant {
  std::string name;
  std::function<void()> once;
  std::function<void()> before{};    ///< untimed, just before each execution
  std::function<double()> figure{};  ///< after it: the nanoseconds that count; none: all of it
};

inline std::FILE* requests = nullptr;
inline std::FILE* figures = nullptr;

[[noreturn]] inline void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(1);
}

/// Options come first, each with a value; the command begins at the first other word.
inline Options parse(int argc, char** argv) {
  Options options;
  int at = 1;
  for (; at + 1 < argc && std::strncmp(argv[at], "--", 2) == 0; at += 2) {
    const std::string_view name = argv[at];
    char* const value = argv[at + 1];
    if (name == "--count") {
      options.count = std::atol(value);
    } else if (name == "--rounds") {
      options.rounds = std::atol(value);
    } else if (name == "--memory") {
      options.memory = std::atol(value);
    } else if (name == "--variants") {
      options.variants = value;
    } else if (name == "--size") {
      options.size = value;
    } else if (name == "--work") {
      options.work = value;
    } else if (name == "--items") {
      options.items = std::atol(value);
    } else {
      fail("unknown option " + std::string(name));
    }
  }
  options.command.assign(argv + at, argv + argc);
  options.command.push_back(nullptr);
  return options;
}

/// Maps and touches `mebibytes` for the life of the process. Huge pages are refused, for they would
/// make a fork of the holder cheap on some machines and not on others.
inline void hold_memory(long mebibytes) {
  if (mebibytes == 0) return;
  const std::size_t size = static_cast<std::size_t>(mebibytes) << 20;
  void* const memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("cannot hold the memory asked for");
  madvise(memory, size, MADV_NOHUGEPAGE);
  std::memset(memory, 1, size);
}

inline double nanoseconds(const Variant& variant) {
  if (variant.before) variant.before();
  const auto begin = std::chrono::steady_clock::now();
  variant.once();
  const auto end = std::chrono::steady_clock::now();
  if (variant.figure) return variant.figure();
  return std::chrono::duration<double, std::nano>(end - begin).count();
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

inline bool is_chosen(const std::string& chosen, const std::string& name) {
  return chosen.empty() || ("," + chosen + ",").find("," + name + ",") != std::string::npos;
}

/// Each execution begins the turn with another variant, so that none always follows the same
/// neighbour.
inline void run_round(const std::vector<Variant>& variants, long count) {
  std::vector<std::vector<double>> times(variants.size());
  for (std::size_t turn = 0; turn < static_cast<std::size_t>(count); ++turn) {
    for (std::size_t i = 0; i < variants.size(); ++i) {
      const std::size_t chosen = (turn + i) % variants.size();
      times[chosen].push_back(nanoseconds(variants[chosen]));
    }
  }
  for (std::size_t i = 0; i < variants.size(); ++i) {
    std::fprintf(figures, "%s %.0f\n", variants[i].name.c_str(), median(times[i]));
  }
  std::fprintf(figures, "end\n");
  std::fflush(figures);
}

/// Moves our stdin and stdout out of the children's sight, who get /dev/null: one carries the
/// figures, and the other the requests for rounds, which a child would swallow.
inline void hide_streams() {
  requests = fdopen(fcntl(0, F_DUPFD_CLOEXEC, 3), "r");
  figures = fdopen(fcntl(1, F_DUPFD_CLOEXEC, 3), "w");
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (requests == nullptr || figures == nullptr || null < 0) fail("cannot move stdin and stdout");
  dup2(null, 0);
  dup2(null, 1);
}

inline void measure(std::vector<Variant> variants, const Options& options) {
  std::erase_if(variants, [&](const Variant& v) { return !is_chosen(options.variants, v.name); });
  if (variants.empty()) fail("no such variant: " + options.variants);
  hide_streams();
  hold_memory(options.memory);
  for (const Variant& variant : variants) nanoseconds(variant);  // warm: files, helpers, symbols
  for (long round = 0; round < options.rounds; ++round) run_round(variants, options.count);
  if (options.rounds > 0) return;
  std::fprintf(figures, "ready\n");
  std::fflush(figures);
  while (std::fgetc(requests) != EOF) run_round(variants, options.count);
}

}  // namespace bench
