// SPDX-License-Identifier: MIT
#pragma once

/// Random numbers that no two processes share.
///
///     std::normal_distribution<double> noise{0.0, 0.1};
///     const double sample = noise(tine::rng());   // in any process, thread or item of a map
///
/// A fork copies the state of every generator, so children that go on with an inherited
/// std::mt19937 all draw the same numbers, and nothing warns of it. rng() notices the fork, however
/// it was made, and gives each child a stream of its own.
///
///   anywhere               a stream from the kernel's entropy, another in each process and thread
///   after seed(n)          the same numbers in every run, from the next one on, in this thread
///   in an item of a map    the numbers belong to (root seed, index of the item): they are the same
///                          for any number of workers, any order and any retry
///
/// The generator is Philox4x64-10, which passes the known batteries of tests. It is not for keys
/// and passwords: who sees some numbers of a stream with a small seed can find the others.
/// Cost: a few nanoseconds a number. Threads: each has its own. Signals: not from a handler.
/// After a fork: a reference from before it is fine too; the child's stream is new, also if seed()
/// was called before the fork.
/// Example: examples/independent_random.cc

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace tine {

namespace detail {

/// A place in a sequence of blocks that no other stream has.
struct RandomPlace {
  std::array<std::uint64_t, 2> key{};
  std::uint64_t stream = 0;
  std::uint64_t block = 0;
};

struct RngState {
  static constexpr std::size_t kBlock = 4;

  /// Nobody's word: where nothing is looked at.
  static const std::atomic<std::uint64_t> kNoItem;
  static const std::atomic<std::uint32_t> kNoGeneration;

  /// Whether a fork or another item has come between.
  [[nodiscard]] bool moved_on() const noexcept {
    return generation->load(std::memory_order_relaxed) != seen_generation ||
           item->load(std::memory_order_relaxed) != seen_item;
  }

  std::array<std::uint64_t, kBlock> numbers{};
  std::size_t next = kBlock;
  const std::atomic<std::uint32_t>* generation = &kNoGeneration;
  const std::atomic<std::uint64_t>* item = &kNoItem;
  std::uint64_t seen_item = 0;
  std::uint32_t seen_generation = 0;
  std::uint64_t root_seed = 0;  ///< of the items
  RandomPlace place{};
  RandomPlace own_place{};  ///< where the stream outside of items goes on, while within one
};

struct RngAccess;

}  // namespace detail

/// Satisfies std::uniform_random_bit_generator, so the distributions of <random> take it.
class Rng {
 public:
  using result_type = std::uint64_t;
  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }

  Rng(const Rng&) = delete;  // a copy would draw the same numbers again
  Rng& operator=(const Rng&) = delete;

  result_type operator()() noexcept {
    if (state_.next == detail::RngState::kBlock || state_.moved_on()) [[unlikely]] {
      refill();
    }
    return state_.numbers[state_.next++];
  }

 private:
  friend struct detail::RngAccess;
  constexpr Rng() noexcept = default;
  void refill() noexcept;

  detail::RngState state_{};
};

/// This thread's generator.
[[nodiscard]] Rng& rng() noexcept;

/// From now on rng() gives the numbers that belong to `number`, in this thread, until the next item
/// of a map begins.
void seed(std::uint64_t number) noexcept;

}  // namespace tine
