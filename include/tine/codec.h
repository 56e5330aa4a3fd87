// SPDX-License-Identifier: MIT
#pragma once

/// Values as bytes: what travels between processes, and to programs in other languages.
///
///     struct Item { std::string name; std::vector<double> samples; std::optional<int> rank; };
///
///     std::vector<std::byte> bytes = tine::encode(Item{"a", {1.5, 2.5}, 3}).value();
///     std::expected<Item, tine::Error> item = tine::decode<Item>(bytes);
///
/// The bytes are MessagePack (docs/wire-format.md). Nothing has to be registered: numbers, bool,
/// enums, strings, paths, durations, containers, optional, variant, expected, pair, tuple,
/// unique_ptr and aggregates of all these travel as they are. Pointers, references and views do
/// not, and neither does a class that cannot be looked into: the compiler says which member it is.
///
/// decode() trusts nothing: whatever the bytes are, it gives a value or an Error that says where
/// they went wrong, with memory and recursion bounded by their length and 128 levels. Both
/// functions own nothing, may be called from any thread, and block never.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <ranges>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/detail/byte_sink.h"
#include "tine/detail/codec_travels.h"
#include "tine/detail/codec_value.h"
#include "tine/detail/codec_wire.h"
#include "tine/error.h"

namespace tine {

/// How a class travels that the library cannot look into: specialise it, before its first use, with
///
///     template <>
///     struct tine::Codec<Colour> {
///       static void encode(tine::Encoder& encoder, const Colour& colour);
///       static Colour decode(tine::Decoder& decoder);
///     };
///
/// Either handles exactly one value: one call of write and read. Both may throw, which becomes the
/// Error of the whole. For a type that could travel without, the specialisation wins.
///
/// Example:  examples/wire_format.cc
template <class T>
struct Codec;

/// What a Codec writes to.
class Encoder {
 public:
  explicit Encoder(detail::WireWriter& wire) noexcept : wire_(&wire) {}

  /// Anything that can travel. Several values are written as one, a tuple of them.
  template <class T>
  void write(const T& value);
  template <class... Ts>
    requires(sizeof...(Ts) > 1)
  void write(const Ts&... values);

  /// The elements of `range` as one array, whatever they are kept in.
  template <std::ranges::sized_range Range>
  void write_array(const Range& range);

  /// Gives up: this value cannot travel, and `why`. By an exception; do not keep it.
  [[noreturn]] void fail(std::string_view why) { wire_->fail(why); }

 private:
  detail::WireWriter* wire_;
};

/// What a Codec reads from. What is not there as expected ends the decoding, by an exception that
/// the outermost decode() turns into its Error; so a Codec never sees half a value.
class Decoder {
 public:
  explicit Decoder(detail::WireReader& wire) noexcept : wire_(&wire) {}

  template <class T>
  [[nodiscard]] T read();
  /// What write(a, b, ...) wrote.
  template <class... Ts>
    requires(sizeof...(Ts) > 1)
  [[nodiscard]] std::tuple<Ts...> read();

  /// Calls `take(T)` with each element of what write_array() wrote.
  template <class T, class Take>
  void read_array(const Take& take);

  /// Gives up: the bytes are not such a value, and `why`. By an exception; do not keep it.
  [[noreturn]] void fail(std::string_view why) { wire_->fail(why); }

 private:
  detail::WireReader* wire_;
};

/// `value` as MessagePack.
///
/// Errors: unencodable: a string of 4 GiB or more, a container of 2^32 elements or more, nested
/// more
///         than 128 deep, a variant without a value, or a Codec gave up
template <class T>
[[nodiscard]] std::expected<std::vector<std::byte>, Error> encode(const T& value);

/// The same, behind what is in `sink` already. After an error there may be a part of it.
///
/// Errors: and whatever the sink says when it cannot grow
template <class T>
[[nodiscard]] std::expected<void, Error> encode(const T& value, detail::ByteSink& sink);

/// The value whose MessagePack the bytes are.
///
/// Errors: undecodable: they are not, or are followed by more
template <class T>
[[nodiscard]] std::expected<T, Error> decode(std::span<const std::byte> bytes);

// What follows is how.

namespace detail {

template <class T>
consteval std::size_t least_bytes() {
  if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) {
    return least_bytes<std::remove_cv_t<T>>();
  } else if constexpr (HasCodec<T>) {
    return 1;
  } else if constexpr (IsBuiltIn<T>) {
    return BuiltIn<T>::least();
  } else {
    return least_of(typename MembersOf<T>::Type{});
  }
}

template <class T>
void put(WireWriter& wire, const T& value) {
  if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) {
    put<std::remove_cv_t<T>>(wire, value);
  } else if constexpr (HasCodec<T>) {
    wire.one([&] {
      Encoder encoder{wire};
      Codec<T>::encode(encoder, value);
    });
  } else if constexpr (IsBuiltIn<T>) {
    BuiltIn<T>::put(wire, value);
  } else {
    put_aggregate(wire, value);
  }
}

template <class T>
T take(WireReader& wire) {
  if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) {
    return take<std::remove_cv_t<T>>(wire);
  } else if constexpr (HasCodec<T>) {
    return wire.one([&]() -> T {
      Decoder decoder{wire};
      return Codec<T>::decode(decoder);
    });
  } else if constexpr (IsBuiltIn<T>) {
    return BuiltIn<T>::take(wire);
  } else {
    return take_aggregate<T>(wire);
  }
}

/// Everything in `value` goes through `wire`; what is thrown on the way is an Error.
template <class T>
std::expected<void, Error> put_all(WireWriter& wire, const T& value) {
  try {
    put(wire, value);
    return {};
  } catch (...) {
    return std::unexpected(wire.error_in_flight());
  }
}

}  // namespace detail

template <class T>
void Encoder::write(const T& value) {
  if constexpr (detail::require_travels<T>()) detail::put(*wire_, value);
}

template <class... Ts>
  requires(sizeof...(Ts) > 1)
void Encoder::write(const Ts&... values) {
  wire_->array(sizeof...(Ts));
  std::size_t i = 0;
  ((wire_->at(detail::Step::member, i++), write(values)), ...);
  wire_->leave();
}

template <std::ranges::sized_range Range>
void Encoder::write_array(const Range& range) {
  using E = std::ranges::range_value_t<const Range>;
  if constexpr (detail::require_travels<E>()) {
    detail::put_elements<E>(*wire_, range, static_cast<std::size_t>(std::ranges::size(range)));
  }
}

template <class T>
T Decoder::read() {
  if constexpr (detail::require_travels<T>()) return detail::take<T>(*wire_);
}

template <class... Ts>
  requires(sizeof...(Ts) > 1)
std::tuple<Ts...> Decoder::read() {
  return read<std::tuple<Ts...>>();
}

template <class T, class Take>
void Decoder::read_array(const Take& take) {
  if constexpr (detail::require_travels<T>()) {
    const std::size_t count = wire_->array(detail::least_bytes<T>());
    for (std::size_t i = 0; i < count; ++i) {
      wire_->at(detail::Step::element, i);
      take(detail::take<T>(*wire_));
    }
    wire_->leave();
  }
}

template <class T>
std::expected<void, Error> encode(const T& value, detail::ByteSink& sink) {
  if constexpr (detail::require_travels<T>()) {
    detail::WireWriter wire{&sink, detail::type_name<T>()};
    return detail::put_all(wire, value);
  } else {
    return {};
  }
}

template <class T>
std::expected<std::vector<std::byte>, Error> encode(const T& value) {
  std::vector<std::byte> bytes;
  if constexpr (detail::require_travels<T>()) {
    // Counting first costs less than what a vector that grows copies.
    detail::WireWriter counting{nullptr, detail::type_name<T>()};
    if (auto counted = detail::put_all(counting, value); !counted) {
      return std::unexpected(std::move(counted.error()));
    }
    detail::VectorSink sink{bytes};
    sink.reserve(counting.counted());
    if (auto done = encode(value, sink); !done) return std::unexpected(std::move(done.error()));
  }
  return bytes;
}

template <class T>
std::expected<T, Error> decode(std::span<const std::byte> bytes) {
  if constexpr (detail::require_travels<T>()) {
    detail::WireReader wire{bytes, detail::type_name<T>()};
    try {
      T value = detail::take<T>(wire);
      wire.finish();
      return value;
    } catch (...) {
      return std::unexpected(wire.error_in_flight());
    }
  } else {
    return std::unexpected(Error{});
  }
}

}  // namespace tine
