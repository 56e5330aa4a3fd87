// SPDX-License-Identifier: MIT
#pragma once

/// A map whose results are there one by one, while workers go on with what follows: for inputs that
/// do not end, or come from elsewhere, and for results that are not to be kept.
///
///     for (auto&& [index, size] : tine::map_ordered(lines_of(log), parse)) {
///       if (size) total += *size;
///     }
///
/// map_ordered gives them in the order of the inputs, map_unordered as they come. At most `window`
/// inputs are pulled ahead of the last result that was taken, so memory is bounded. Inputs that
/// have a size and an index reach the workers by copy-on-write, as with map(); others are pulled in
/// this process, one by one, and travel (codec.h).
///
/// Nothing begins before the first result is asked for. The workers end with the range, also when
/// the loop is left early. What the inputs throw comes out of the loop, behind the results of what
/// came before. While the caller is busy with a result, workers work on but nobody looks after
/// them: timeouts are noticed, and dead workers replaced, at the next one. Failures, fork safety,
/// threads: as map().

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>

#include "tine/call.h"
#include "tine/cancel.h"
#include "tine/detail/stream_body.h"
#include "tine/launch.h"
#include "tine/map.h"

namespace tine {

struct LazyMapOptions {
  std::chrono::nanoseconds timeout{0};    ///< of one attempt at an item; then TERM, grace, KILL
  std::chrono::milliseconds grace{2000};  ///< between TERM and KILL
  std::uint64_t memory = 0;  ///< bytes that a worker may add to what it inherits; 0: no limit
  int workers = 0;           ///< 0: as many as there are usable CPUs
  int retries = 0;           ///< further attempts at an item that failed
  std::size_t window = 0;    ///< items pulled and not yet given out; 0: 16 for each worker

  std::function<bool(const Failure&)> retry_if{};  ///< whether it is worth another attempt
  std::size_t recycle_after = 0;        ///< items after which a worker is replaced; 0: never
  std::optional<std::uint64_t> seed{};  ///< of rng() within items; none: drawn from rng()
  std::string name{};                   ///< for ps and in messages
  ThreadPolicy threads = ThreadPolicy::refuse;
  bool core_dump = false;
  CancelToken cancel{};  ///< then all that has no result is Cause::cancelled, and the end comes
};

/// One result of a lazy map.
template <class R>
struct IndexedResult {
  std::size_t index;  ///< of its input
  Result<R> result;
};

/// The results of a lazy map: an input range, to be gone through once.
template <class R>
class LazyMap {
 public:
  class iterator;

  LazyMap(const LazyMapOptions& options, detail::StreamOrder order,
          std::unique_ptr<detail::StreamBody> body)
      : name_(options.name),
        body_(std::move(body)),
        stream_(std::make_unique<detail::Stream>(options, order, *body_)) {}

  /// The next result. Nothing: there are no more.
  [[nodiscard]] std::optional<IndexedResult<R>> next() {
    auto item = stream_->next();
    if (!item) return std::nullopt;
    return IndexedResult<R>{static_cast<std::size_t>(item->item), result_of(*item)};
  }

  [[nodiscard]] iterator begin() { return iterator(this); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  Result<R> result_of(detail::StreamItem& item) const {
    if (item.failure) return std::unexpected(std::move(*item.failure));
    if constexpr (std::is_void_v<R>) {
      return {};
    } else {
      auto value = detail::read_result<R>(item.result);
      if (!value) return std::unexpected(detail::undecodable(name_, std::move(value.error())));
      return std::move(*value);
    }
  }

  std::string name_;
  std::unique_ptr<detail::StreamBody> body_;
  std::unique_ptr<detail::Stream> stream_;  // goes first
};

template <class R>
class LazyMap<R>::iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = IndexedResult<R>;
  using difference_type = std::ptrdiff_t;

  explicit iterator(LazyMap* map) : map_(map), current_(map->next()) {}
  IndexedResult<R>& operator*() const noexcept { return *current_; }
  IndexedResult<R>* operator->() const noexcept { return &*current_; }
  iterator& operator++() {
    current_ = map_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const noexcept { return !current_; }

 private:
  LazyMap* map_;
  mutable std::optional<IndexedResult<R>> current_;
};

namespace detail {

template <class Range, class Fn>
auto make_lazy_map(Range&& inputs, Fn&& fn, const LazyMapOptions& options, StreamOrder order) {
  using View = std::views::all_t<Range>;
  using Function = std::decay_t<Fn>;
  using Item = StreamedItem<View>;
  static_assert(std::is_invocable_v<ItemRunner<Function>&, Item>,
                "tine::map_ordered, map_unordered: the function cannot be called with an element "
                "of the inputs (with with_state: with the state and an element)");
  using R = std::decay_t<std::invoke_result_t<ItemRunner<Function>&, Item>>;
  static_assert(require_result<R>());
  return LazyMap<R>(options, order,
                    std::make_unique<StreamBodyOf<R, View, Function>>(
                        std::views::all(std::forward<Range>(inputs)), std::forward<Fn>(fn)));
}

}  // namespace detail

/// `fn(item)` for each of `inputs`, in worker processes; results in the order of the inputs.
///
/// Inputs that are no temporaries have to live, unchanged, as long as what this gives.
/// Failures, throws: as map(); what the inputs throw comes out of next().
/// Example: examples/guide_lazy_map.cc
template <std::ranges::viewable_range Range, class Fn>
[[nodiscard]] auto map_ordered(Range&& inputs, Fn&& fn, const LazyMapOptions& options = {}) {
  return detail::make_lazy_map(std::forward<Range>(inputs), std::forward<Fn>(fn), options,
                               detail::StreamOrder::inputs);
}

/// The same; results as they come.
template <std::ranges::viewable_range Range, class Fn>
[[nodiscard]] auto map_unordered(Range&& inputs, Fn&& fn, const LazyMapOptions& options = {}) {
  return detail::make_lazy_map(std::forward<Range>(inputs), std::forward<Fn>(fn), options,
                               detail::StreamOrder::completion);
}

/// `op(op(op(start, fn(first)), fn(second)), ...)`: fn in workers, op in this process, in the order
/// of the inputs, so that it gives the same for any number of workers. Or the first item's failure.
template <std::ranges::input_range Range, class Fn, class T, class Op>
[[nodiscard]] Result<T> map_reduce(Range&& inputs, Fn&& fn, T start, Op&& op,
                                   const MapOptions& options = {}) {
  auto results = map(std::forward<Range>(inputs), std::forward<Fn>(fn), options);
  if (!results.all_succeeded()) {
    return std::unexpected(results.failures().first());
  }
  for (const auto& result : results) start = std::invoke(op, std::move(start), *result);
  return start;
}

}  // namespace tine
