// SPDX-License-Identifier: MIT
#pragma once

/// Values between processes of one image: bare bytes where the type allows, MessagePack elsewhere.
/// Not part of the interface; it may change in any release.
///
/// A payload is a header and what it announces (docs/wire-format.md). What the other process wrote
/// is not trusted more than in decode(): sizes have to match to the byte, and a bool that is
/// neither 0 nor 1 is refused before it is one.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/codec.h"

namespace tine::detail {

enum class PayloadKind : std::uint8_t { value = 1, range = 2, message = 3 };

/// First of all the bytes of a payload. Of a range the elements follow at kRangeOffset, so that
/// they are as well aligned as the payload itself, up to that; of the others what follows, follows.
struct PayloadHeader {
  PayloadKind kind;
  std::uint8_t zero[7];
  std::uint64_t element_size;  ///< of a range; the size of a value; 0 for a message
  std::uint64_t count;         ///< of the elements of a range; 1 for a value; 0 for a message
};
static_assert(sizeof(PayloadHeader) == 24 && std::is_trivially_copyable_v<PayloadHeader>);
constexpr std::size_t kRangeOffset = 64;

/// The elements of a T whose bytes lie side by side, where these are all that there is to it.
template <class T>
struct RangeOf {
  static constexpr bool kIsRaw = false;
};
template <class E, class Allocator>
struct RangeOf<std::vector<E, Allocator>> {
  using Element = E;
  static constexpr bool kIsRaw = travels_raw<E> && !std::is_same_v<E, bool>;
};
template <class Traits, class Allocator>
struct RangeOf<std::basic_string<char, Traits, Allocator>> {
  using Element = char;
  static constexpr bool kIsRaw = true;
};

/// How a T travels between processes of one image.
template <class T>
consteval PayloadKind payload_kind() {
  if constexpr (travels_raw<T>) {
    return PayloadKind::value;
  } else if constexpr (!HasCodec<T> && RangeOf<T>::kIsRaw) {
    return PayloadKind::range;
  } else {
    return PayloadKind::message;
  }
}

std::expected<void, Error> write_payload_header(PayloadHeader header, ByteSink& sink,
                                                std::string_view type);
/// A value or a range: the header and `bytes`.
std::expected<void, Error> write_raw_payload(PayloadHeader header, std::span<const std::byte> bytes,
                                             ByteSink& sink, std::string_view type);
/// What follows the header in `payload`, which has to be of this kind and element size, and as long
/// as it says.
std::expected<std::span<const std::byte>, Error> open_payload(std::span<const std::byte> payload,
                                                              PayloadKind kind,
                                                              std::size_t element_size,
                                                              std::string_view type);
std::unexpected<Error> bad_payload(std::string_view type, std::string why);

template <class T>
std::expected<void, Error> write_payload(const T& value, ByteSink& sink) {
  constexpr std::string_view kType = type_name<T>();
  if constexpr (!require_travels<T>()) {
    return {};
  } else if constexpr (payload_kind<T>() == PayloadKind::value) {
    return write_raw_payload({PayloadKind::value, {}, sizeof(T), 1},
                             std::as_bytes(std::span(&value, 1)), sink, kType);
  } else if constexpr (payload_kind<T>() == PayloadKind::range) {
    const std::span<const typename RangeOf<T>::Element> elements{value.data(), value.size()};
    return write_raw_payload({PayloadKind::range, {}, sizeof(elements[0]), elements.size()},
                             std::as_bytes(elements), sink, kType);
  } else {
    auto begun = write_payload_header({PayloadKind::message, {}, 0, 0}, sink, kType);
    if (!begun) return begun;
    return encode(value, sink);
  }
}

/// Whether there is a bool in T, also as what an enum is based on: the one kind of member whose
/// bytes can be no value of it.
template <class T>
consteval bool has_bool();
template <class... Ts>
consteval bool any_has_bool(Types<Ts...>) {
  return (has_bool<Ts>() || ...);
}
template <class T>
constexpr bool kIsBool = std::is_same_v<T, bool>;
template <class T>
  requires std::is_enum_v<T>
constexpr bool kIsBool<T> = std::is_same_v<std::underlying_type_t<T>, bool>;
template <class T>
consteval bool has_bool() {
  return kIsBool<T> || any_has_bool(typename PartsOf<T>::Type{});
}

/// Looks at the bytes of each bool in `value`, never at the bool.
template <class T>
bool bools_are_valid(const T& value) {
  if constexpr (!has_bool<T>()) {
    return true;
  } else if constexpr (kIsBool<T>) {
    unsigned char byte = 0;
    std::memcpy(&byte, &value, 1);
    return byte <= 1;
  } else if constexpr (std::is_array_v<T> || IsBuiltIn<T>) {
    for (const auto& element : value) {
      if (!bools_are_valid(element)) return false;
    }
    return true;
  } else {
    return visit_members<member_count<T>()>(
        value, [](auto, const auto&... members) { return (bools_are_valid(members) && ...); });
  }
}

/// The elements that these bytes are, in place.
template <class E>
std::expected<std::span<const E>, Error> view_range(std::span<const std::byte> bytes) {
  constexpr std::string_view kType = type_name<E>();
  if (bytes.empty()) return std::span<const E>{};
  if (bytes.size() % sizeof(E) != 0) return bad_payload(kType, "a part of an element is missing");
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(E) != 0) {
    return bad_payload(kType, "its elements are not aligned in memory");
  }
  const std::span<const E> elements{reinterpret_cast<const E*>(bytes.data()),
                                    bytes.size() / sizeof(E)};
  for (const E& element : elements) {
    if constexpr (!has_bool<E>()) break;
    if (!bools_are_valid(element)) return bad_payload(kType, "a bool that is neither 0 nor 1");
  }
  return elements;
}

/// The elements of a range, in place: they live as long as `payload`, whose address has to be
/// aligned for them, or 64 bytes. For what has no raw form, or has a bool in it: read_payload().
template <class E>
std::expected<std::span<const E>, Error> view_payload(std::span<const std::byte> payload) {
  static_assert(travels_raw<E>, "tine: only what is nothing but its bytes can be viewed in place");
  constexpr std::string_view kType = type_name<E>();
  const auto bytes = open_payload(payload, PayloadKind::range, sizeof(E), kType);
  if (!bytes) return std::unexpected(bytes.error());
  return view_range<E>(*bytes);
}

/// A T from the bytes of one, wherever they are. They are looked at in a copy, which nobody changes
/// between the look and the use.
template <class T>
std::expected<T, Error> value_from_bytes(std::span<const std::byte> bytes) {
  struct Bytes {
    alignas(T) unsigned char bytes[sizeof(T)];
  };
  Bytes copy;
  std::memcpy(&copy, bytes.data(), sizeof copy);
  if (!bools_are_valid(reinterpret_cast<const T&>(copy))) {
    return bad_payload(type_name<T>(), "a bool that is neither 0 nor 1");
  }
  return std::bit_cast<T>(copy);
}

/// Memory that is about to be written for the first time: in large pages that takes half the time.
/// Where it is little, or the kernel does not want to, nothing happens. Above the limit malloc maps
/// each block by itself (M_MMAP_THRESHOLD goes no further), so that the mark goes with the block;
/// below, pieces of the heap would stay marked, each a mapping of its own.
void prefer_large_pages(void* memory, std::size_t size) noexcept;
constexpr std::size_t kWorthLargePages = (std::size_t{32} << 20) + 1;

/// A T of the elements [first, first + count).
template <class T>
T range_of(const typename RangeOf<T>::Element* first, std::size_t count) {
  // Made in one go: an assignment to an empty one takes twice as long for short ones.
  if (count < kWorthLargePages / sizeof(*first)) return T(first, first + count);
  T value;
  value.reserve(count);
  prefer_large_pages(value.data(), count * sizeof(*first));
  value.assign(first, first + count);
  return value;
}

/// value_from_bytes() for a vector or string, whose elements need not be aligned where they are.
template <class T>
std::expected<T, Error> range_from_bytes(std::span<const std::byte> bytes) {
  using E = typename RangeOf<T>::Element;
  const std::size_t count = bytes.size() / sizeof(E);
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(E) == 0;
  const E* const first = reinterpret_cast<const E*>(bytes.data());
  T value = range_of<T>(first, is_aligned ? count : 0);
  if (!is_aligned) {
    value.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      auto element = value_from_bytes<E>(bytes.subspan(i * sizeof(E), sizeof(E)));
      if (!element) return std::unexpected(std::move(element.error()));
      value.push_back(*element);
    }
  }
  if constexpr (has_bool<E>()) {
    for (const E& element : value) {
      if (!bools_are_valid(element)) {
        return bad_payload(type_name<T>(), "a bool that is neither 0 nor 1");
      }
    }
  }
  return value;
}

template <class T>
std::expected<T, Error> read_payload(std::span<const std::byte> payload) {
  constexpr std::string_view kType = type_name<T>();
  constexpr PayloadKind kKind = require_travels<T>() ? payload_kind<T>() : PayloadKind::message;
  std::size_t element_size = 0;
  if constexpr (kKind == PayloadKind::value) element_size = sizeof(T);
  if constexpr (kKind == PayloadKind::range) element_size = sizeof(typename RangeOf<T>::Element);
  const auto bytes = open_payload(payload, kKind, element_size, kType);
  if (!bytes) return std::unexpected(bytes.error());
  if constexpr (kKind == PayloadKind::value) {
    return value_from_bytes<T>(*bytes);
  } else if constexpr (kKind == PayloadKind::range) {
    return range_from_bytes<T>(*bytes);
  } else {
    return decode<T>(*bytes);
  }
}

// ---- The same without a header, where something else says how long it is ----

/// Throws bad_alloc.
template <class R>
std::expected<void, Error> write_record(const R& value, ByteSink& sink) {
  if constexpr (!HasCodec<R> && RangeOf<R>::kIsRaw) {
    const auto bytes = std::as_bytes(std::span(value.data(), value.size()));
    std::byte* const to = sink.extend(bytes.size());
    if (to == nullptr) throw std::bad_alloc{};
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    return {};
  } else {
    return encode(value, sink);
  }
}

template <class R>
std::expected<R, Error> read_record(std::span<const std::byte> bytes) {
  if constexpr (!HasCodec<R> && RangeOf<R>::kIsRaw) {
    if (bytes.size() % sizeof(typename RangeOf<R>::Element) != 0) {
      return bad_payload(type_name<R>(), "a part of an element is missing");
    }
    return range_from_bytes<R>(bytes);
  } else {
    return decode<R>(bytes);
  }
}

}  // namespace tine::detail
