// SPDX-License-Identifier: MIT
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "os/pidfd.h"
#include "support/clean_process_test.h"
#include "tine/launch.h"
#include "tine/map.h"
#include "tine/process.h"
#include "tine/random.h"
#include "tine/shared.h"

/// Items that fail in every way that there is, by a hash of their number, while another process
/// kills workers at random. Map after map, until the items or the time are used up. At length:
///
///     TINE_SOAK_ITEMS=200000 TINE_SOAK_MINUTES=10
///       build/dev/tests/work_tests --gtest_filter='MapSoak*'

namespace tine {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

struct MapSoakSlowTest : test::CleanProcessTest {};

#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t kMemory = 0;  // its shadow memory is above any limit
#else
constexpr std::uint64_t kMemory = std::uint64_t{64} << 20;
#endif
constexpr std::size_t kHuge = std::size_t{8} << 20;
constexpr std::size_t kRound = 1000;  // items of one map
constexpr std::size_t kMostKills = std::size_t{1} << 17;

enum class Fate : unsigned char {
  value,
  huge,
  throws,
  exits,
  aborts,
  kills_itself,
  stops_itself,
  hangs,
  hogs,
};
constexpr std::array kFateNames{"values",      "huge values", "throw", "exit",         "abort",
                                "kill itself", "stop",        "hang",  "use up memory"};

std::uint64_t hash_of(std::uint64_t number) {
  number += 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

/// What takes until the timeout is rare.
Fate fate_of(std::uint64_t number) {
  const auto lot = hash_of(number) % 1000;
  if (lot < 2) return Fate::huge;
  if (lot < 40) return Fate::throws;
  if (lot < 55) return Fate::exits;
  if (lot < 70) return Fate::aborts;
  if (lot < 85) return Fate::kills_itself;
  if (lot < 86) return Fate::stops_itself;
  if (lot < 87) return Fate::hangs;
  if (lot < 92 && kMemory > 0) return Fate::hogs;
  return Fate::value;
}

std::string value_of(std::uint64_t number) {
  if (fate_of(number) == Fate::huge) return std::string(kHuge, static_cast<char>(number % 256));
  return std::to_string(hash_of(number));
}

/// What workers and their killer note, in memory that they share.
struct Notes {
  SharedSpan<std::atomic<pid_t>> runner{kRound};  ///< of each item, the last one
  SharedSpan<std::atomic<int>> runs{kRound};
  SharedSpan<std::atomic<pid_t>> killed{kMostKills};
  Shared<std::atomic<std::size_t>> kills;
  Shared<std::atomic<bool>> armed;  ///< whether the killer may kill
  Shared<std::atomic<bool>> over;
};

std::string suffer(std::uint64_t number, Notes& notes) {
  notes.runner[number % kRound] = ::getpid();
  ++notes.runs[number % kRound];
  switch (fate_of(number)) {
    case Fate::throws: throw std::runtime_error("item " + std::to_string(number));
    case Fate::exits: std::_Exit(static_cast<int>(number % 250));
    case Fate::aborts: std::abort();
    case Fate::kills_itself: ::raise(SIGKILL); break;
    case Fate::stops_itself: ::raise(SIGSTOP); break;
    case Fate::hangs:
      for (;;) ::pause();
    case Fate::hogs:
      for (std::vector<std::string> hoard;;) hoard.emplace_back(std::size_t{4} << 20, 'x');
    default: break;
  }
  return value_of(number);
}

// ---- The killer ----

/// Kills one worker of `host`, any. It is noted first: a note that came to nothing excuses nobody.
void kill_a_worker(pid_t host, Notes& notes) {
  std::vector<pid_t> workers;
  const auto tree = process_tree(host);
  if (!tree) return;
  for (const ProcessInfo& one : *tree) {
    if (one.parent == host && one.name == "soak" && one.state != 'Z') workers.push_back(one.pid);
  }
  const std::size_t kills = notes.kills->load();
  if (workers.empty() || kills == kMostKills) return;
  const pid_t victim = workers[rng()() % workers.size()];
  const Fd pidfd = os::open_pidfd(victim);
  const auto still = process_info(victim);
  if (!pidfd || !still || still->parent != host || still->name != "soak") return;
  notes.killed[kills] = victim;
  *notes.kills = kills + 1;
  os::send_signal(pidfd.get(), SIGKILL);
}

Child start_killer(Notes& notes) {
  return launch({.name = "killer"},
                [&, host = ::getpid()] {
                  while (!notes.over->load()) {
                    std::this_thread::sleep_for(std::chrono::milliseconds(rng()() % 40));
                    if (notes.armed->load()) kill_a_worker(host, notes);
                  }
                })
      .value();
}

std::set<pid_t> killed_since(const Notes& notes, std::size_t before) {
  std::set<pid_t> all;
  for (std::size_t i = before; i < notes.kills->load(); ++i) all.insert(notes.killed[i]);
  return all;
}

// ---- The verdict ----

/// Whether the item ended as it had to when nobody killed its worker.
bool is_its_own_end(std::uint64_t number, const ItemResult<std::string>& result) {
  const Fate fate = fate_of(number);
  if (result) return (fate == Fate::value || fate == Fate::huge) && *result == value_of(number);
  const Failure& failure = result.error();
  switch (fate) {
    case Fate::throws:
      return failure.cause == Cause::threw && failure.type == "std::runtime_error" &&
             failure.message == "item " + std::to_string(number);
    case Fate::exits:
      return failure.cause == Cause::exited && failure.status->code() == number % 250;
    case Fate::aborts:
      return failure.cause == Cause::signaled && failure.status->signal() == SIGABRT;
    case Fate::kills_itself:
      return failure.cause == Cause::signaled && failure.status->signal() == SIGKILL;
    case Fate::stops_itself:
    case Fate::hangs: return failure.cause == Cause::timed_out;
    case Fate::hogs: return failure.cause == Cause::out_of_memory;
    default: return false;
  }
}

/// `runner`: the last worker that ran the item; `runs`: how often that has begun.
bool is_the_killers_doing(const ItemResult<std::string>& result, pid_t runner, int runs,
                          const std::set<pid_t>& killed) {
  if (result || result.error().cause != Cause::signaled) return false;
  // It was the next one of a worker that was killed before it began.
  const bool never_began = runs < result.error().attempts;
  return result.error().status->signal() == SIGKILL && (never_began || killed.contains(runner));
}

struct Tally {
  std::size_t items = 0;
  std::size_t excused = 0;
  std::size_t deaths = 0;
  std::array<std::size_t, kFateNames.size()> fates{};
};

void run_round(std::uint64_t first, Notes& notes, Tally& tally) {
  for (std::size_t i = 0; i < kRound; ++i) {
    notes.runner[i] = 0;
    notes.runs[i] = 0;
  }
  std::vector<std::uint64_t> items(kRound);
  std::iota(items.begin(), items.end(), first);
  const int retries = first / kRound % 3 == 2 ? 1 : 0;
  *notes.armed = first / kRound % 2 == 0;  // else it would be there before most timeouts
  const std::size_t kills_before = notes.kills->load();
  const auto results = map(items, [&](std::uint64_t number) { return suffer(number, notes); },
                           {.timeout = 2s,
                            .grace = 50ms,
                            .memory = kMemory,
                            .workers = 4,
                            .retries = retries,
                            .name = "soak"});
  const auto killed = killed_since(notes, kills_before);
  ASSERT_EQ(results.size(), kRound);
  std::size_t failed = 0;
  std::size_t excused = 0;
  for (std::size_t i = 0; i < kRound; ++i) {
    const auto result = results[i];
    failed += result ? 0 : 1;
    ++tally.fates[static_cast<std::size_t>(fate_of(items[i]))];
    if (is_its_own_end(items[i], result)) {
      EXPECT_TRUE(retries > 0 || notes.runs[i] == 1) << items[i] << " ran " << notes.runs[i];
    } else if (is_the_killers_doing(result, notes.runner[i], notes.runs[i], killed)) {
      ++excused;
    } else {
      ADD_FAILURE() << "item " << items[i] << " was to "
                    << kFateNames[static_cast<std::size_t>(fate_of(items[i]))] << ", but "
                    << (result ? "has a value" : result.error().to_string()) << ", by pid "
                    << notes.runner[i];
    }
    if (!result) {
      EXPECT_EQ(result.error().attempts, 1 + retries);
    }
  }
  EXPECT_EQ(results.failures().items(), failed);
  EXPECT_LE(excused, killed.size());
  tally.items += kRound;
  tally.excused += excused;
  tally.deaths += results.insights().deaths;
}

/// What this process holds that could grow from map to map.
struct Held {
  std::size_t descriptors = 0;
  std::size_t mappings = 0;
};

Held look_at_what_is_held() {
  Held held;
  for ([[maybe_unused]] const auto& fd : fs::directory_iterator("/proc/self/fd")) {
    ++held.descriptors;
  }
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) ++held.mappings;
  return held;
}

std::size_t number_of(const char* variable, std::size_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST_F(MapSoakSlowTest, EveryItemHasItsOneRightOutcomeWhateverHappens) {
  const std::size_t most = number_of("TINE_SOAK_ITEMS", 20'000);
  const std::chrono::minutes minutes(number_of("TINE_SOAK_MINUTES", 0));
  const auto began = std::chrono::steady_clock::now();
  const auto until = began + (minutes > 0min ? std::chrono::seconds(minutes) : 20s);

  Notes notes;
  Child killer = start_killer(notes);
  Tally tally;
  Held first;
  while (tally.items < most && std::chrono::steady_clock::now() < until && !HasFailure()) {
    run_round(tally.items, notes, tally);
    // Round 0 to 3 bring what is made once: backtraces, a heap that is large enough.
    if (tally.items == 4 * kRound) first = look_at_what_is_held();
  }
  const Held last = look_at_what_is_held();
  *notes.over = true;
  ASSERT_TRUE(killer.wait());
  if (first.mappings > 0) {
    EXPECT_EQ(last.descriptors, first.descriptors);
    EXPECT_LE(last.mappings, first.mappings + 4);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
  std::cout << tally.items << " items in " << elapsed.count() << " s; " << tally.deaths
            << " workers died, " << notes.kills->load() << " were killed from outside, "
            << tally.excused << " items with them\n";
  for (std::size_t i = 0; i < kFateNames.size(); ++i) {
    std::cout << "  " << tally.fates[i] << ' ' << kFateNames[i] << '\n';
  }
}

}  // namespace
}  // namespace tine
