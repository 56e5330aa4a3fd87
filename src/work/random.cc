// SPDX-License-Identifier: MIT
#include "tine/random.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "os/fork_generation.h"
#include "os/young_child.h"
#include "work/item_random.h"
#include "work/philox.h"

namespace tine {

constinit const std::atomic<std::uint64_t> detail::RngState::kNoItem{0};
constinit const std::atomic<std::uint32_t> detail::RngState::kNoGeneration{0};

struct detail::RngAccess {
  static constexpr Rng make() noexcept { return {}; }
  static RngState& state(Rng& rng) noexcept { return rng.state_; }
};

namespace {

using detail::RandomPlace;
using detail::RngState;

/// Who uses a key. It is half of the key itself, so that no seed of one is a seed of another.
enum class Domain : std::uint64_t { seeded = 1, item = 2, entropy = 3 };

RandomPlace stream_at(Domain domain, std::uint64_t key, std::uint64_t stream) noexcept {
  return {{key, static_cast<std::uint64_t>(domain)}, stream, 0};
}

/// 128 random bits: no two of 2^50 processes and threads will have the same.
RandomPlace unpredictable_place() noexcept {
  std::uint64_t bits[2] = {};
  if (::getrandom(bits, sizeof bits, 0) != sizeof bits) {
    // A filter that refuses it: what at least no other living thread has at this moment.
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    bits[0] =
        static_cast<std::uint64_t>(now.tv_sec) << 30 ^ static_cast<std::uint64_t>(now.tv_nsec);
    bits[1] = static_cast<std::uint64_t>(::gettid()) << 32 ^ os::fork_generation();
  }
  return stream_at(Domain::entropy, bits[0], bits[1]);
}

constinit thread_local Rng this_threads = detail::RngAccess::make();

RngState& this_threads_state() noexcept { return detail::RngAccess::state(this_threads); }

/// What the state was in another process is nothing to this one.
void begin_in_this_process(RngState& state) noexcept {
  state = RngState{};
  state.seen_generation = os::fork_generation();
  state.generation = &os::fork_generation_word();
  state.place = unpredictable_place();
}

bool is_of_this_process(const RngState& state) noexcept {
  return state.seen_generation == os::fork_generation();
}

void begin_item(RngState& state) noexcept {
  state.seen_item = state.item->load(std::memory_order_relaxed);
  state.place = stream_at(Domain::item, state.root_seed, state.seen_item);
}

}  // namespace

void Rng::refill() noexcept {
  if (!is_of_this_process(state_)) {
    begin_in_this_process(state_);
  } else if (state_.moved_on()) {
    begin_item(state_);
  }
  const auto& place = state_.place;
  state_.numbers = work::philox({place.block, place.stream, 0, 0}, place.key);
  ++state_.place.block;
  state_.next = 0;
}

Rng& rng() noexcept { return this_threads; }

void seed(std::uint64_t number) noexcept {
  RngState& state = this_threads_state();
  if (!is_of_this_process(state)) begin_in_this_process(state);
  state.seen_item = state.item->load(std::memory_order_relaxed);
  state.place = stream_at(Domain::seeded, number, 0);
  state.next = RngState::kBlock;
}

TINE_YOUNG_CHILD void work::use_item_stream(const std::atomic<std::uint64_t>* item,
                                            std::uint64_t seed) noexcept {
  RngState& state = this_threads_state();
  if (!is_of_this_process(state)) begin_in_this_process(state);
  const bool was_within = state.item != &RngState::kNoItem;
  if (!was_within) state.own_place = state.place;
  state.next = RngState::kBlock;  // what is left of the block is nobody's
  if (item != nullptr) {
    state.item = item;
    state.root_seed = seed;
    begin_item(state);
  } else if (was_within) {
    state.item = &RngState::kNoItem;
    state.seen_item = 0;
    state.place = state.own_place;
  }
}

work::ItemStreamScope::ItemStreamScope(const std::atomic<std::uint64_t>* item,
                                       std::uint64_t seed) noexcept
    : before_(this_threads_state()) {
  use_item_stream(item, seed);
}

work::ItemStreamScope::~ItemStreamScope() { this_threads_state() = before_; }

}  // namespace tine
