// SPDX-License-Identifier: MIT
#pragma once

/// A function over many items, on all cores, in worker processes.
///
///     auto sizes = tine::map(files, [&](const fs::path& file) { return compress(file, level); });
///     for (const auto& [file, size] : tine::zip(files, sizes)) {
///       if (!size) std::cerr << file << ": " << size.error().to_string() << '\n';
///     }
///
/// The workers are forked when map() is called: inputs and whatever the function captures reach
/// them by copy-on-write, so nothing has to be copyable, and nothing is encoded but results that
/// are no plain values (codec.h). What an item changes in memory is its worker's own.
///
/// There is one result per input, in the order of the inputs, always. An item that throws, crashes,
/// exits, hangs beyond the timeout or runs out of memory costs that item: a fresh worker goes on
/// behind it. When this process dies, so do the workers and what they have started.
///
/// Scheduling: each worker begins with its share of the items, runs them in batches that it sizes
/// by what they cost, and takes half of another's rest when it has none left. Fork safety and
/// threads: as call.h. A map within a worker has one worker, unless told otherwise.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>

#include "tine/cancel.h"
#include "tine/detail/map_body.h"
#include "tine/launch.h"
#include "tine/map_results.h"
#include "tine/zip.h"

namespace tine {

/// What a worker can spoil that writes where it should not.
enum class Isolation : std::uint8_t {
  shared,  ///< results of others as well: they lie side by side, and work is stolen from each other
  strict,  ///< its own results alone; they are copied once, and work is handed out by this process
  process_per_item,  ///< shared, and each item has a process that nothing has run in before
};

/// When a map is given up before its end. Items that have not begun then are `cancelled`.
struct StopPolicy {
  std::size_t failures = 0;  ///< at so many failed items; 0: never
  double share = 0;          ///< at this share of all items, above 0 and up to 1; 0: never
  bool kill = false;         ///< true: running items are killed; false: they finish
};
inline constexpr StopPolicy kStopAtFirstFailure{.failures = 1};

/// When a worker is replaced by a fresh one, between two items.
struct RecyclePolicy {
  std::size_t after_items = 0;  ///< 0: never
  std::uint64_t above_rss = 0;  ///< bytes of memory of its own; 0: never
};

struct MapProgress {
  std::size_t items = 0;  ///< in all
  std::size_t done = 0;   ///< with an outcome, failed ones among them
  std::size_t failed = 0;
  int workers = 0;  ///< alive
  std::chrono::nanoseconds elapsed{};
};

struct MapOptions {
  std::chrono::nanoseconds timeout{0};    ///< of one attempt at an item; then TERM, grace, KILL
  std::chrono::milliseconds grace{2000};  ///< between TERM and KILL
  std::uint64_t memory = 0;  ///< bytes that a worker may add to what it inherits; 0: no limit
  int workers = 0;           ///< 0: as many as there are usable CPUs, see usable_cpus()
  int retries = 0;           ///< further attempts at an item that failed
  std::chrono::nanoseconds total_timeout{0};  ///< of the whole map; 0: none

  int crash_retries = -1;  ///< of these at most so many after a crash or exit; -1: all of them
  /// Whether a failure is worth another attempt. Called in this process.
  std::function<bool(const Failure&)> retry_if{};
  /// The pause before attempt 2, 3, ... of an item.
  std::function<std::chrono::nanoseconds(int attempt)> retry_delay{};
  StopPolicy stop{};
  RecyclePolicy recycle{};
  Isolation isolation = Isolation::shared;
  std::size_t chunk = 0;  ///< items of a batch; 0: by what they cost
  /// This process runs items as well, without a wall around them: for functions that cannot crash.
  bool parent_helps = false;
  /// Of rng() within items, whose numbers depend on it and the item alone; none: drawn from rng().
  std::optional<std::uint64_t> seed{};
  std::function<void(const MapProgress&)> progress{};  ///< called now and then, and at the end
  std::chrono::milliseconds progress_interval{100};
  std::string name{};  ///< for ps and in messages, at most 15 characters for ps
  ThreadPolicy threads = ThreadPolicy::refuse;
  bool core_dump = false;  ///< whether a crash may leave a core file
  CancelToken cancel{};
};

/// Runs `init` once in each worker, before its first item. What it gives is the worker's state:
/// `fn` is called as fn(state, item). When it gives nothing, as fn(item).
///
///     tine::map(texts, tine::with_state([] { return Model::load("m"); },
///                                       [](Model& model, const std::string& text) { ... }));
///
/// An initializer that fails, fails the map: each item has its Failure. `total_timeout` counts for
/// it, `timeout` does not.
template <class Init, class Fn>
[[nodiscard]] auto with_state(Init init, Fn fn) {
  return detail::WithState<Init, Fn>{std::move(init), std::move(fn)};
}

namespace detail {

/// What the engine gives back.
struct MapOutcome {
  std::shared_ptr<std::byte> values;  ///< of plain results
  MapFailures failures;
  MapInsights insights;
};

MapOutcome run_map(const MapOptions& options, MapBody& body);

template <class R>
consteval bool require_result() {
  if constexpr (std::is_void_v<R>)
    return true;
  else
    return require_travels<R>();
}

/// A pointer, for a function; else as it was given.
template <class Fn>
using Callable = std::conditional_t<std::is_function_v<std::remove_reference_t<Fn>>,
                                    std::decay_t<Fn>, std::remove_reference_t<Fn>>;

/// Whether the elements of a temporary are handed over by moving them: the function takes nothing
/// else.
template <class Range, class Fn>
consteval bool moves_items() {
  using Item = decltype(std::declval<Inputs<std::remove_reference_t<Range>>&>()[0]);
  using Moved = std::remove_reference_t<Item>&&;
  return !std::is_lvalue_reference_v<Range> && std::is_lvalue_reference_v<Item> &&
         !std::is_const_v<std::remove_reference_t<Item>> &&
         !std::is_invocable_v<ItemRunner<Fn>&, Item> && std::is_invocable_v<ItemRunner<Fn>&, Moved>;
}

}  // namespace detail

/// `fn(item)` for each of `inputs`, in worker processes; for tuples also fn(first, second, ...).
///
/// Inputs may be any range that ends. An expected<T, E> that fn returns is a value like any other.
/// A type that cannot travel does not compile.
/// Failures: threw, exited, signaled, timed_out, out_of_memory, cancelled, undecodable, lost; and
///           not_started at every item when no worker could be started (threads_running, ...).
/// Throws: what the progress and retry functions throw; all workers have been ended then.
/// Blocks: until all items have an outcome.   Threads: as launch().
/// Example: examples/guide_map.cc
template <std::ranges::input_range Range, class Fn>
[[nodiscard]] auto map(Range&& inputs, Fn&& fn, const MapOptions& options = {}) {
  using Plain = std::remove_reference_t<Range>;
  using Function = detail::Callable<Fn>;
  constexpr bool kMove = detail::moves_items<Range, Function>();
  detail::Inputs<Plain> items(inputs);
  using Item = decltype(items[0]);
  using Given = std::conditional_t<kMove, std::remove_reference_t<Item>&&, Item>;
  static_assert(std::is_invocable_v<detail::ItemRunner<Function>&, Given>,
                "tine::map: the function cannot be called with an element of the inputs (with "
                "with_state: with the state and an element)");
  using R = std::decay_t<std::invoke_result_t<detail::ItemRunner<Function>&, Given>>;
  std::conditional_t<std::is_pointer_v<Function>, Function, Function&> function = fn;
  if constexpr (detail::require_result<R>()) {
    detail::MapBodyOf<R, Plain, Function, kMove> body(items, function);
    detail::MapOutcome outcome = detail::run_map(options, body);
    auto [owner, values] = body.results(outcome.values);
    return MapResults<R>(items.size(), std::move(owner), values, std::move(outcome.failures),
                         std::move(outcome.insights));
  }
}

}  // namespace tine
