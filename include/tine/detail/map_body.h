// SPDX-License-Identifier: MIT
#pragma once

/// What a map does with its items, as the engine sees it: without types. Not part of the interface;
/// it may change in any release.

#include <time.h>

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/codec.h"
#include "tine/detail/byte_sink.h"
#include "tine/detail/called_in.h"
#include "tine/detail/codec_payload.h"
#include "tine/error.h"
#include "tine/map_results.h"

namespace tine::detail {

/// Nanoseconds on the clock that all processes share: steady_clock's. Asked of libc itself, for in
/// a child that has just been forked each library that is entered costs page faults.
inline std::int64_t now_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Sleeps while that is 1: it is being found out whether this worker is to be ended.
void wait_while_held(const std::atomic<std::uint32_t>& held) noexcept;

/// Items [begin, end) of a batch, and the places in shared memory through which their worker says
/// how far it is. An item has an outcome once item_done() has been called for it, and not before.
class ItemBatch {
 public:
  struct Places {
    std::atomic<std::uint64_t>* done;               ///< the first item that is not done
    const std::atomic<std::uint32_t>* interrupted;  ///< not 0: hand back what has not begun
    std::atomic<std::int64_t>* started;   ///< when that item began; nullptr: nobody wants to know
    std::atomic<std::uint64_t>* written;  ///< bytes of records that are whole
    std::int64_t allowance = 0;           ///< added to `started`, which says then when it is late
    const std::atomic<std::uint32_t>* held = nullptr;  ///< not 0: whoever watches `started` looks
    CalledIn process{};
    std::size_t stretch = 1;  ///< items, at most, between two looks at `interrupted`
  };
  ItemBatch(std::size_t begin, std::size_t end, const Places& places) noexcept
      : next_(begin), end_(end), places_(places) {}

  [[nodiscard]] std::size_t next() const noexcept { return next_; }
  /// Whether the next item is to be run.
  [[nodiscard]] bool has_next() const noexcept {
    return next_ < end_ && places_.interrupted->load(std::memory_order_relaxed) == 0 &&
           (places_.held == nullptr || places_.held->load() == 0);
  }
  /// Whether anybody wants to know when items begin.
  [[nodiscard]] bool is_timed() const noexcept { return places_.started != nullptr; }
  /// has_next() and item_done() where nobody does.
  [[nodiscard]] bool has_next_untimed() const noexcept {
    return next_ < end_ && places_.interrupted->load(std::memory_order_relaxed) == 0;
  }
  /// Of items so short that many make a batch, some are run before anybody is asked again whether
  /// they are wanted elsewhere.
  [[nodiscard]] std::size_t end_of_stretch() const noexcept {
    constexpr std::size_t kStretches = 64;  // of a batch, at least
    return next_ + std::clamp<std::size_t>((end_ - next_) / kStretches, 1, places_.stretch);
  }
  void untimed_item_done() noexcept { places_.done->store(++next_, std::memory_order_release); }
  /// After fn, and before anything is written: what it gives in a forked copy is nobody's.
  void end_if_copied() const noexcept { places_.process.end_if_copied(); }
  /// What the item has written is whole.
  void note_written(std::size_t bytes) noexcept {
    places_.written->store(bytes, std::memory_order_release);
  }
  void item_done() noexcept {
    if (places_.held != nullptr && places_.held->load() != 0) wait_while_held(*places_.held);
    // The time first: whoever sees the next item sees when it began, or later.
    if (places_.started != nullptr) places_.started->store(now_ns() + places_.allowance);
    places_.done->store(++next_, std::memory_order_release);
  }

 private:
  std::size_t next_;
  std::size_t end_;
  Places places_;
};

/// Writes records behind one another into a worker's own memory.
class RecordSink {
 public:
  RecordSink(const RecordSink&) = delete;
  RecordSink& operator=(const RecordSink&) = delete;
  virtual ~RecordSink() = default;
  /// What is written to bytes() from here on belongs to the result of `item`. Throws bad_alloc.
  virtual void begin_record(std::size_t item) = 0;
  [[nodiscard]] virtual ByteSink& bytes() noexcept = 0;
  /// It is whole. Gives the bytes of all whole records.
  [[nodiscard]] virtual std::size_t end_record() noexcept = 0;

 protected:
  RecordSink() = default;
};

/// Thrown in a worker: the result has no form that travels.
struct Unencodable {
  Error error;
};

/// What a map does with its items.
class MapBody {
 public:
  MapBody() = default;
  MapBody(const MapBody&) = delete;
  MapBody& operator=(const MapBody&) = delete;
  virtual ~MapBody() = default;

  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
  /// Bytes of a result that is written as it is into an array; 0: results are records, or nothing.
  [[nodiscard]] virtual std::size_t value_size() const noexcept = 0;
  [[nodiscard]] virtual bool has_records() const noexcept = 0;
  /// Whether running an item uses up the worker's copy of its input.
  [[nodiscard]] virtual bool consumes_inputs() const noexcept = 0;

  // In a worker. What they throw is for the engine to catch.
  virtual void begin_worker() = 0;
  virtual void run(const ItemBatch& batch, std::byte* values, RecordSink& sink) = 0;

  // In the parent.
  /// Whether item's result is there; for records, whether take() has been called for it.
  [[nodiscard]] virtual bool has(std::size_t item) const = 0;
  virtual std::expected<void, Error> take(std::size_t item, std::span<const std::byte> record) = 0;
  /// Whether bytes of a plain result can be no value of its type.
  [[nodiscard]] virtual bool may_be_invalid() const noexcept = 0;
  /// What is wrong with the plain result of an item, if anything.
  [[nodiscard]] virtual std::optional<Error> check(std::size_t item, const std::byte* values) = 0;
};

/// The range that a map goes over, by index. Ranges that cannot be indexed are walked once before
/// the fork; nothing of theirs is copied unless they can be walked only once.
template <class Range>
class Inputs {
 public:
  /// By the range itself: then a copy of this costs nothing.
  static constexpr bool kIndexed = std::ranges::random_access_range<Range>;

 private:
  using Iterator = std::ranges::iterator_t<Range>;
  static constexpr bool kForward = std::ranges::forward_range<Range>;
  using Kept = std::conditional_t<kForward, Iterator, std::ranges::range_value_t<Range>>;

 public:
  /// A temporary that owns its elements may be used up.
  template <class Given>
  explicit Inputs(Given& range) {
    if constexpr (kIndexed) {
      first_ = std::ranges::begin(range);
      size_ = static_cast<std::size_t>(std::ranges::distance(range));
    } else {
      auto last = std::ranges::end(range);
      for (auto i = std::ranges::begin(range); i != last; ++i) {
        if constexpr (kForward) {
          kept_.push_back(i);
        } else {
          kept_.push_back(*i);
        }
      }
      size_ = kept_.size();
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  decltype(auto) operator[](std::size_t at) {
    if constexpr (kIndexed) {
      return first_[static_cast<std::iter_difference_t<Iterator>>(at)];
    } else if constexpr (kForward) {
      return *kept_[at];
    } else {
      return (kept_[at]);
    }
  }

 private:
  struct Nothing {};
  [[no_unique_address]] std::conditional_t<kIndexed, Iterator, Nothing> first_{};
  std::conditional_t<kIndexed, Nothing, std::vector<Kept>> kept_{};
  std::size_t size_ = 0;
};

template <class Fn, class Tuple, std::size_t... kI>
consteval bool takes_elements(std::index_sequence<kI...>) {
  return std::is_invocable_v<Fn&, decltype(std::get<kI>(std::declval<Tuple>()))...>;
}

/// Whether fn takes the elements of a tuple or pair.
template <class Fn, class Tuple>
concept AppliesTo =
    requires { std::tuple_size<std::remove_cvref_t<Tuple>>::value; } &&
    takes_elements<Fn, Tuple>(
        std::make_index_sequence<std::tuple_size<std::remove_cvref_t<Tuple>>::value>{});

/// fn(item); for a tuple or pair that fn does not take as one, fn(first, second, ...).
template <class Fn, class Item>
  requires std::is_invocable_v<Fn&, Item> || AppliesTo<Fn, Item>
decltype(auto) invoke_with_item(Fn& fn, Item&& item) {
  if constexpr (std::is_invocable_v<Fn&, Item>) {
    return std::invoke(fn, std::forward<Item>(item));
  } else {
    return std::apply(fn, std::forward<Item>(item));
  }
}

/// A function that goes with a state of each worker.
template <class Init, class Fn>
struct WithState {
  Init init;
  Fn fn;
};
/// What an item becomes, and how it is run, in a worker.
template <class Fn>
class ItemRunner {
 public:
  explicit ItemRunner(Fn& fn) noexcept : fn_(fn) {}
  void begin_worker() {}
  template <class Item>
  auto operator()(Item&& item)
      -> decltype(invoke_with_item(std::declval<Fn&>(), std::forward<Item>(item))) {
    return invoke_with_item(fn_, std::forward<Item>(item));
  }

 private:
  Fn& fn_;
};

template <class Both>
inline constexpr bool kIsWithState = false;
template <class Init, class Fn>
inline constexpr bool kIsWithState<WithState<Init, Fn>> = true;

template <class Both>
  requires kIsWithState<std::remove_const_t<Both>>
class ItemRunner<Both> {
  using Init = decltype((std::declval<Both&>().init));
  using Fn = decltype((std::declval<Both&>().fn));
  struct Nothing {};
  using Given = std::invoke_result_t<Init>;
  static constexpr bool kHasState = !std::is_void_v<Given>;
  using State = std::conditional_t<kHasState, std::decay_t<Given>, Nothing>;

 public:
  explicit ItemRunner(Both& both) noexcept : both_(both) {}
  void begin_worker() {
    if constexpr (kHasState) {
      state_.emplace(std::invoke(both_.init));
    } else {
      std::invoke(both_.init);
    }
  }
  template <class Item>
    requires kHasState
  auto operator()(Item&& item) -> std::invoke_result_t<Fn, State&, Item> {
    return std::invoke(both_.fn, *state_, std::forward<Item>(item));
  }
  template <class Item>
    requires(!kHasState)
  auto operator()(Item&& item)
      -> decltype(invoke_with_item(std::declval<Fn>(), std::forward<Item>(item))) {
    return invoke_with_item(both_.fn, std::forward<Item>(item));
  }

 private:
  Both& both_;
  std::optional<State> state_{};
};

/// How the results of a map are kept: plain ones in a shared array, others as records.
template <class R>
inline constexpr bool kPlainResult = travels_raw<R>;
template <>
inline constexpr bool kPlainResult<void> = false;

/// Throws what the engine makes a Failure of.
[[noreturn]] inline void refuse(const Error& error) {
  if (error.kind == ErrorKind::out_of_memory) throw std::bad_alloc{};
  throw Unencodable{error};
}

/// Whether a body is to take in the records of others: not in a process that only makes them.
enum class Gathers : unsigned char { no, yes };

template <class R, class Range, class Fn, bool kMoveItems>
class MapBodyOf final : public MapBody {
  static constexpr bool kIsPlain = kPlainResult<R>;
  static constexpr bool kIsRecord = !kIsPlain && !std::is_void_v<R>;
  using Stored = std::conditional_t<std::is_void_v<R>, char, R>;

 public:
  MapBodyOf(Inputs<Range>& inputs, Fn& fn, [[maybe_unused]] Gathers gathers = Gathers::yes)
      : inputs_(inputs), runner_(fn) {
    if constexpr (kIsRecord) {
      if (gathers == Gathers::yes) column_ = std::make_shared<Column<R>>(inputs.size());
    }
  }

  [[nodiscard]] std::size_t size() const noexcept override { return inputs_.size(); }
  [[nodiscard]] std::size_t value_size() const noexcept override {
    return kIsPlain ? sizeof(Stored) : 0;
  }
  [[nodiscard]] bool has_records() const noexcept override { return kIsRecord; }
  [[nodiscard]] bool consumes_inputs() const noexcept override { return kMoveItems; }

  void begin_worker() override { runner_.begin_worker(); }

  void run(const ItemBatch& given, [[maybe_unused]] std::byte* values,
           [[maybe_unused]] RecordSink& sink) override {
    ItemBatch batch = given;  // a copy of our own stays in registers
    if constexpr (kIsPlain) {
      // The shortest of items are here: what all of them need stays in registers.
      R* const to = reinterpret_cast<R*>(values);
      std::conditional_t<Inputs<Range>::kIndexed, Inputs<Range>, Inputs<Range>&> inputs = inputs_;
      while (!batch.is_timed() && batch.has_next_untimed()) {
        for (const std::size_t end = batch.end_of_stretch(); batch.next() < end;) {
          R value = run_item(inputs, batch.next());
          batch.end_if_copied();
          std::construct_at(to + batch.next(), std::move(value));
          batch.untimed_item_done();
        }
      }
    }
    while (batch.has_next()) {
      if constexpr (std::is_void_v<R>) {
        run_item(batch.next());
        batch.end_if_copied();
      } else if constexpr (kIsPlain) {
        R value = run_item(batch.next());
        batch.end_if_copied();
        std::construct_at(reinterpret_cast<R*>(values) + batch.next(), std::move(value));
      } else {
        const R value = run_item(batch.next());
        batch.end_if_copied();
        sink.begin_record(batch.next());
        if (auto done = write_record<R>(value, sink.bytes()); !done) refuse(done.error());
        batch.note_written(sink.end_record());
      }
      batch.item_done();
    }
  }

  [[nodiscard]] bool has(std::size_t item) const override {
    if constexpr (kIsRecord) return column_->has(item);
    return true;
  }
  std::expected<void, Error> take(std::size_t item, std::span<const std::byte> record) override {
    if constexpr (kIsRecord) {
      auto value = read_record<R>(record);
      if (!value) return std::unexpected(std::move(value.error()));
      column_->put(item, std::move(*value));
    }
    return {};
  }
  [[nodiscard]] bool may_be_invalid() const noexcept override {
    if constexpr (kIsPlain) return has_bool<R>();
    return false;
  }
  [[nodiscard]] std::optional<Error> check(std::size_t item, const std::byte* values) override {
    if constexpr (kIsPlain) {
      auto value = value_from_bytes<R>({values + item * sizeof(R), sizeof(R)});
      if (!value) return std::move(value.error());
    }
    return std::nullopt;
  }

  /// Where the results are; `values` if that is where plain ones are.
  std::pair<std::shared_ptr<const void>, Stored*> results(
      const std::shared_ptr<std::byte>& values) const {
    if constexpr (kIsRecord) return {column_, column_->data()};
    if constexpr (kIsPlain) return {values, reinterpret_cast<Stored*>(values.get())};
    return {nullptr, nullptr};
  }

 private:
  decltype(auto) run_item(std::size_t at) { return run_item(inputs_, at); }
  decltype(auto) run_item(Inputs<Range>& inputs, std::size_t at) {
    if constexpr (kMoveItems) {
      return runner_(std::move(inputs[at]));
    } else {
      return runner_(inputs[at]);
    }
  }

  struct Nothing {};

  Inputs<Range>& inputs_;
  ItemRunner<Fn> runner_;
  std::conditional_t<kIsRecord, std::shared_ptr<Column<Stored>>, Nothing> column_{};
};

}  // namespace tine::detail
