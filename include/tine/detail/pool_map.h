// SPDX-License-Identifier: MIT
#pragma once

/// The items of Pool::map on their way to workers: all of them in one piece of memory, plain ones
/// side by side. Not part of the interface; it may change in any release.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/codec.h"
#include "tine/detail/codec_payload.h"
#include "tine/detail/indexed_iterator.h"
#include "tine/detail/map_body.h"
#include "tine/detail/pool_task.h"
#include "tine/error.h"

namespace tine::detail {

// ---- In the host ----

/// The items of a map as bytes.
class MapInputs {
 public:
  /// One that cannot travel, and is not run.
  struct Refused {
    std::size_t item;
    Error error;
  };

  MapInputs() = default;
  MapInputs(const MapInputs&) = delete;
  MapInputs& operator=(const MapInputs&) = delete;
  virtual ~MapInputs() = default;
  [[nodiscard]] virtual std::size_t bytes() const noexcept = 0;
  /// To so many bytes, aligned for what they are.
  virtual void write(std::byte* to) = 0;
  [[nodiscard]] const std::vector<Refused>& refused() const noexcept { return refused_; }

 protected:
  std::vector<Refused> refused_;
};

/// Plain items are their bytes; all else: where each ends, then one behind the other.
template <class T, class Range>
class MapInputsOf final : public MapInputs {
  static constexpr bool kIsPlain = travels_raw<T>;
  static constexpr bool kIsRange = payload_kind<T>() == PayloadKind::range;
  /// Looked at twice, once for its size; an item that is made by looking at it is kept as bytes.
  static constexpr bool kStays =
      kIsRange && std::is_lvalue_reference_v<decltype(std::declval<Inputs<Range>&>()[0])>;

 public:
  explicit MapInputsOf(Inputs<Range>& inputs) : inputs_(inputs) {
    if constexpr (!kIsPlain) {
      ends_.reserve(inputs.size());
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        add(i, static_cast<const T&>(inputs[i]));
        ends_.push_back(content_);
      }
    }
  }

  [[nodiscard]] std::size_t bytes() const noexcept override {
    if constexpr (kIsPlain) return inputs_.size() * sizeof(T);
    return ends_.size() * sizeof(std::uint64_t) + content_;
  }

  void write(std::byte* to) override {
    if constexpr (kIsPlain) {
      write_plain(to);
    } else {
      if (!ends_.empty()) std::memcpy(to, ends_.data(), ends_.size() * sizeof(std::uint64_t));
      to += ends_.size() * sizeof(std::uint64_t);
      if constexpr (kStays) {
        for (std::size_t i = 0; i < inputs_.size(); ++i) {
          append(to, static_cast<const T&>(inputs_[i]), i);
        }
      } else if (!encoded_.empty()) {
        std::memcpy(to, encoded_.data(), encoded_.size());
      }
    }
  }

 private:
  static auto bytes_of(const T& value) {
    return std::as_bytes(std::span(value.data(), value.size()));
  }

  void add(std::size_t item, const T& value) {
    if constexpr (kStays) {
      content_ += bytes_of(value).size();
    } else if constexpr (kIsRange) {
      const auto bytes = bytes_of(value);
      encoded_.insert(encoded_.end(), bytes.begin(), bytes.end());
      content_ = encoded_.size();
    } else {
      const std::size_t before = encoded_.size();
      const auto done = [&] {
        VectorSink sink(encoded_);
        return encode(value, sink);
      }();
      if (!done) {
        refused_.push_back({item, done.error()});
        encoded_.resize(before);
      }
      content_ = encoded_.size();
    }
  }

  /// One that has grown since it was looked at gets no more room than it asked for.
  void append(std::byte*& to, const T& value, std::size_t item) {
    const auto from = bytes_of(value);
    const std::uint64_t room = ends_[item] - (item > 0 ? ends_[item - 1] : 0);
    const std::size_t size = std::min<std::size_t>(from.size(), room);
    if (size > 0) std::memcpy(to, from.data(), size);
    to += room;
  }

  void write_plain(std::byte* to) {
    if constexpr (std::ranges::contiguous_range<Range> &&
                  std::is_same_v<std::ranges::range_value_t<Range>, T>) {
      if (inputs_.size() > 0) std::memcpy(to, &inputs_[0], inputs_.size() * sizeof(T));
    } else {
      for (std::size_t i = 0; i < inputs_.size(); ++i, to += sizeof(T)) {
        write_one(to, static_cast<const T&>(inputs_[i]));
      }
    }
  }
  static void write_one(std::byte* to, const T& value) { std::memcpy(to, &value, sizeof(T)); }

  Inputs<Range>& inputs_;
  std::vector<std::uint64_t> ends_{};
  std::vector<std::byte> encoded_{};
  std::size_t content_ = 0;
};

/// What becomes of all of them: the host's side of a map.
struct MapOrder {
  TaskRequest part;  ///< the function that a worker's part is, and what is promised of each item
  std::span<const std::byte> function;  ///< for read_function()
  std::string name;                     ///< in messages
};

// ---- In a worker ----

/// Makes an item of its bytes. Throws BadArguments.
template <class T>
class ItemReader {
 public:
  ItemReader() = default;
  /// Checked when it is used: nothing that others have written leads out of `bytes`.
  ItemReader(std::span<const std::byte> bytes, std::size_t count) noexcept
      : bytes_(bytes), count_(count) {}

  T operator()(std::size_t item) const {
    if constexpr (travels_raw<T> && !has_bool<T>()) {
      std::array<std::byte, sizeof(T)> bytes;
      std::memcpy(bytes.data(), bytes_.data() + item * sizeof(T), sizeof(T));
      return std::bit_cast<T>(bytes);
    } else {
      auto value = [&] {
        if constexpr (travels_raw<T>) {
          return value_from_bytes<T>(bytes_.subspan(item * sizeof(T), sizeof(T)));
        } else {
          return read_record<T>(content(item));
        }
      }();
      if (!value) throw BadArguments{std::move(value.error())};
      return std::move(*value);
    }
  }

  /// How many bytes there are at least.
  [[nodiscard]] static std::size_t least(std::size_t count) noexcept {
    return count * (travels_raw<T> ? sizeof(T) : sizeof(std::uint64_t));
  }

 private:
  [[nodiscard]] std::uint64_t end(std::size_t item) const {
    std::uint64_t at = 0;
    std::memcpy(&at, bytes_.data() + item * sizeof at, sizeof at);
    return at;
  }
  [[nodiscard]] std::span<const std::byte> content(std::size_t item) const {
    auto rest = bytes_.subspan(count_ * sizeof(std::uint64_t));
    const std::uint64_t begin = item > 0 ? end(item - 1) : 0;
    take_bytes(rest, begin);
    return take_bytes(rest, end(item) - begin);
  }

  std::span<const std::byte> bytes_{};
  std::size_t count_ = 0;
};

/// The items as a range, each made when it is asked for. An iterator has all that it needs in
/// itself, so that a walk keeps it in registers.
template <class T>
class SharedItems {
 public:
  class iterator : public IndexedIterator<iterator, T> {
   public:
    iterator() = default;
    iterator(ItemReader<T> reader, std::size_t at) noexcept
        : IndexedIterator<iterator, T>(at), reader_(reader) {}
    [[nodiscard]] T value_at(std::size_t item) const { return reader_(item); }

   private:
    ItemReader<T> reader_{};
  };

  /// Requires: ItemReader<T>::least(count) bytes, if any of them is looked at.
  SharedItems(std::span<const std::byte> bytes, std::size_t count) noexcept
      : reader_(bytes, count), count_(count) {}
  [[nodiscard]] iterator begin() const noexcept { return {reader_, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {reader_, count_}; }

 private:
  ItemReader<T> reader_;
  std::size_t count_;
};

template <class R, class T, class F>
using PoolMapBody = MapBodyOf<R, SharedItems<T>, F, false>;

/// One worker's part of a map, as a task: runs items until there are none.
template <class F, class R, class T>
void run_map_part(std::span<const std::byte> bytes, TaskOutput& output) {
  const MapPart part = output.begin_part(bytes);
  F fn = read_function<F>(bytes);
  if (part.inputs.size() < ItemReader<T>::least(part.count)) {
    throw BadArguments{
        Error{ErrorKind::undecodable, 0, Stage::decode, "the items of a map", "too short"}};
  }
  SharedItems<T> items(part.inputs, part.count);
  Inputs<SharedItems<T>> inputs(items);
  PoolMapBody<R, T, F> body(inputs, fn, Gathers::no);
  output.run_part(body);
  output.publish();
}

}  // namespace tine::detail
