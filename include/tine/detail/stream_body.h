// SPDX-License-Identifier: MIT
#pragma once

/// What a lazy map does with its items, as the engine sees it: without types. Not part of the
/// interface; it may change in any release.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <utility>
#include <vector>

#include "tine/detail/byte_sink.h"
#include "tine/detail/map_body.h"
#include "tine/error.h"

namespace tine {
struct LazyMapOptions;
namespace work {
class StreamRun;
}
}  // namespace tine

namespace tine::detail {

class StreamBody {
 public:
  StreamBody() = default;
  StreamBody(const StreamBody&) = delete;
  StreamBody& operator=(const StreamBody&) = delete;
  virtual ~StreamBody() = default;

  /// In the parent: writes what a worker has to know of the next item. False: there is none.
  /// Throws what the inputs throw.
  virtual bool pull(ByteSink& to) = 0;

  // In a worker. What they throw is for the engine to catch.
  virtual void begin_worker() = 0;
  virtual void run(std::uint64_t item, std::span<const std::byte> input, ByteSink& result) = 0;
};

/// The result of an item as bytes, which are valid until the next one is asked for; or a failure.
struct StreamItem {
  std::uint64_t item = 0;
  std::span<const std::byte> result{};
  std::optional<Failure> failure{};
};

enum class StreamOrder : unsigned char { inputs, completion };

/// A lazy map in flight. When it goes, its workers have gone.
class Stream {
 public:
  Stream(const LazyMapOptions& options, StreamOrder order, StreamBody& body);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();
  /// Nothing: there are no more. Throws what the inputs have thrown, behind the results of what
  /// came before.
  std::optional<StreamItem> next();

 private:
  std::unique_ptr<work::StreamRun> run_;
};

/// A plain value as its bytes, others as write_record() does.
template <class R>
void write_result(const R& value, ByteSink& sink) {
  if constexpr (kPlainResult<R>) {
    std::byte* const to = sink.extend(sizeof value);
    if (to == nullptr) throw std::bad_alloc{};
    std::memcpy(to, &value, sizeof value);
  } else if (auto done = write_record<R>(value, sink); !done) {
    refuse(done.error());
  }
}

template <class R>
std::expected<R, Error> read_result(std::span<const std::byte> bytes) {
  if constexpr (kPlainResult<R>) {
    if (bytes.size() != sizeof(R)) return bad_payload(type_name<R>(), "it has another size");
    return value_from_bytes<R>(bytes);
  } else {
    return read_record<R>(bytes);
  }
}

/// Items of a range that has a size and an index: workers have them by copy-on-write, and need to
/// be told nothing.
template <class View>
class IndexedItems {
 public:
  explicit IndexedItems(View view) : view_(std::move(view)), size_(std::ranges::size(view_)) {}
  bool pull(ByteSink&) { return next_++ < size_; }
  decltype(auto) item(std::uint64_t at, std::span<const std::byte>) {
    return std::ranges::begin(
        view_)[static_cast<std::iter_difference_t<std::ranges::iterator_t<View>>>(at)];
  }

 private:
  View view_;
  std::uint64_t size_;
  std::uint64_t next_ = 0;
};

/// Items that come one after the other, perhaps without end: each one travels.
template <class View>
class PulledItems {
  using Value = std::ranges::range_value_t<View>;

 public:
  explicit PulledItems(View view) : view_(std::move(view)) {
    static_assert(require_travels<Value>());
  }
  bool pull(ByteSink& to) {
    if (!at_) {
      at_.emplace(std::ranges::begin(view_));
    } else {
      ++*at_;
    }
    if (*at_ == std::ranges::end(view_)) return false;
    const Value& value = **at_;
    write_result<Value>(value, to);
    return true;
  }
  Value item(std::uint64_t, std::span<const std::byte> bytes) {
    auto value = read_result<Value>(bytes);
    if (!value) throw Unencodable{std::move(value.error())};
    return std::move(*value);
  }

 private:
  View view_;
  std::optional<std::ranges::iterator_t<View>> at_{};
};

template <class View>
using StreamedItems =
    std::conditional_t<std::ranges::random_access_range<View> && std::ranges::sized_range<View>,
                       IndexedItems<View>, PulledItems<View>>;

template <class R, class View, class Fn>
class StreamBodyOf final : public StreamBody {
 public:
  StreamBodyOf(View view, Fn fn) : items_(std::move(view)), fn_(std::move(fn)), runner_(fn_) {}
  bool pull(ByteSink& to) override { return items_.pull(to); }
  void begin_worker() override { runner_.begin_worker(); }
  void run(std::uint64_t item, std::span<const std::byte> input, ByteSink& result) override {
    if constexpr (std::is_void_v<R>) {
      runner_(items_.item(item, input));
    } else {
      const CalledIn process;
      const R value = runner_(items_.item(item, input));
      process.end_if_copied();
      write_result<R>(value, result);
    }
  }

 private:
  StreamedItems<View> items_;
  Fn fn_;
  ItemRunner<Fn> runner_;
};

template <class View>
using StreamedItem = decltype(std::declval<StreamedItems<View>&>().item(0, {}));

}  // namespace tine::detail
