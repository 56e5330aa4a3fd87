// SPDX-License-Identifier: MIT
#pragma once

/// How containers travel. Not part of the interface; it may change in any release.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tine/detail/codec_value.h"

namespace tine::detail {

/// `elements` as an array, whatever they are kept in.
template <class E, class Range>
void put_elements(WireWriter& wire, const Range& elements, std::size_t count) {
  wire.array(count);
  std::size_t i = 0;
  for (const auto& element : elements) {
    wire.at(Step::element, i++);
    put<E>(wire, element);
  }
  wire.leave();
}

/// vector, deque, list.
template <class T>
struct Sequence : BuiltInBase<typename T::value_type> {
  using E = typename T::value_type;
  static constexpr bool kIsBinary =
      std::is_same_v<E, std::byte> && requires(const T& value) { value.data(); };

  static void put(WireWriter& wire, const T& value) {
    if constexpr (kIsBinary) {
      wire.binary({value.data(), value.size()});
    } else {
      put_elements<E>(wire, value, value.size());
    }
  }

  static T take(WireReader& wire) {
    if constexpr (kIsBinary) {
      const std::span<const std::byte> bytes = wire.binary();
      return T(bytes.begin(), bytes.end());
    } else {
      const std::size_t count = wire.array(least_bytes<E>());
      T value;
      if constexpr (requires { value.reserve(count); }) value.reserve(count);
      for (std::size_t i = 0; i < count; ++i) {
        wire.at(Step::element, i);
        value.push_back(detail::take<E>(wire));
      }
      wire.leave();
      return value;
    }
  }
};

template <class E, class Allocator>
struct BuiltIn<std::vector<E, Allocator>> : Sequence<std::vector<E, Allocator>> {};
template <class E, class Allocator>
struct BuiltIn<std::deque<E, Allocator>> : Sequence<std::deque<E, Allocator>> {};
template <class E, class Allocator>
struct BuiltIn<std::list<E, Allocator>> : Sequence<std::list<E, Allocator>> {};

/// Arrays of the language, as members of aggregates. They are filled, not returned.
template <class E, std::size_t N>
struct BuiltIn<E[N]> : BuiltInBase<E> {
  static consteval std::size_t least() {
    return 1 + N * (std::is_same_v<E, std::byte> ? 1 : least_bytes<E>());
  }

  static void put(WireWriter& wire, const E (&value)[N]) {
    if constexpr (std::is_same_v<E, std::byte>) {
      wire.binary(value);
    } else {
      put_elements<E>(wire, value, N);
    }
  }

  static void fill(WireReader& wire, E (&value)[N]) { fill_elements(wire, value); }

  static void fill_elements(WireReader& wire, E* value) {
    if constexpr (std::is_same_v<E, std::byte>) {
      const std::span<const std::byte> bytes = wire.binary();
      if (bytes.size() != N) {
        wire.fail("expected binary of " + std::to_string(N) + " bytes, found " +
                  std::to_string(bytes.size()));
      }
      std::memcpy(value, bytes.data(), N);
    } else {
      wire.array_of(N, least_bytes<E>());
      for (std::size_t i = 0; i < N; ++i) {
        wire.at(Step::element, i);
        if constexpr (std::is_array_v<E>) {
          BuiltIn<E>::fill(wire, value[i]);
        } else {
          value[i] = detail::take<E>(wire);
        }
      }
      wire.leave();
    }
  }
};

template <class E, std::size_t N>
struct BuiltIn<std::array<E, N>> : BuiltInBase<E> {
  using T = std::array<E, N>;
  static consteval std::size_t least() { return BuiltIn<E[N]>::least(); }

  static void put(WireWriter& wire, const T& value) {
    if constexpr (std::is_same_v<E, std::byte>) {
      wire.binary(value);
    } else {
      put_elements<E>(wire, value, N);
    }
  }

  static T take(WireReader& wire) {
    if constexpr (std::default_initializable<E> && std::is_move_assignable_v<E>) {
      T value{};
      BuiltIn<E[N]>::fill_elements(wire, value.data());
      return value;
    } else {
      return take_each(wire, std::make_index_sequence<N>{});
    }
  }

 private:
  /// In one go, for elements that cannot be made from nothing.
  template <std::size_t... Is>
  static T take_each(WireReader& wire, std::index_sequence<Is...>) {
    wire.array_of(N, least_bytes<E>());
    T value{{(wire.at(Step::element, Is), detail::take<E>(wire))...}};
    wire.leave();
    return value;
  }
};

template <class E>
struct BuiltIn<std::array<E, 0>> : BuiltInBase<E> {
  static void put(WireWriter& wire, const std::array<E, 0>&) {
    if constexpr (std::is_same_v<E, std::byte>) {
      wire.binary({});
    } else {
      wire.array(0);
      wire.leave();
    }
  }
  static std::array<E, 0> take(WireReader& wire) {
    if constexpr (std::is_same_v<E, std::byte>) {
      if (!wire.binary().empty()) wire.fail("expected binary of no bytes");
    } else {
      wire.array_of(0, 0);
      wire.leave();
    }
    return {};
  }
};

/// set, unordered_set.
template <class T>
struct Set : BuiltInBase<typename T::key_type> {
  using Key = typename T::key_type;

  static void put(WireWriter& wire, const T& value) {
    put_elements<Key>(wire, value, value.size());
  }

  static T take(WireReader& wire) {
    const std::size_t count = wire.array(least_bytes<Key>());
    T value;
    if constexpr (requires { value.reserve(count); }) value.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      wire.at(Step::element, i);
      value.emplace_hint(value.end(), detail::take<Key>(wire));
      if (value.size() != i + 1) wire.fail("the element is there already");
    }
    wire.leave();
    return value;
  }
};

/// map, unordered_map.
template <class T>
struct Map : BuiltInBase<typename T::key_type, typename T::mapped_type> {
  using Key = typename T::key_type;
  using Mapped = typename T::mapped_type;

  static void put(WireWriter& wire, const T& value) {
    wire.map(value.size());
    std::size_t i = 0;
    for (const auto& [key, mapped] : value) {
      wire.at(Step::key, i);
      detail::put<Key>(wire, key);
      wire.at(Step::mapped, i++);
      detail::put<Mapped>(wire, mapped);
    }
    wire.leave();
  }

  static T take(WireReader& wire) {
    const std::size_t count = wire.map(least_bytes<Key>() + least_bytes<Mapped>());
    T value;
    if constexpr (requires { value.reserve(count); }) value.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      wire.at(Step::key, i);
      Key key = detail::take<Key>(wire);
      wire.at(Step::mapped, i);
      Mapped mapped = detail::take<Mapped>(wire);
      value.emplace_hint(value.end(), std::move(key), std::move(mapped));
      if (value.size() != i + 1) {
        wire.at(Step::key, i);
        wire.fail("the key is there already");
      }
    }
    wire.leave();
    return value;
  }
};

template <class K, class Compare, class Allocator>
struct BuiltIn<std::set<K, Compare, Allocator>> : Set<std::set<K, Compare, Allocator>> {};
template <class K, class Hash, class Equal, class Allocator>
struct BuiltIn<std::unordered_set<K, Hash, Equal, Allocator>>
    : Set<std::unordered_set<K, Hash, Equal, Allocator>> {};
template <class K, class V, class Compare, class Allocator>
struct BuiltIn<std::map<K, V, Compare, Allocator>> : Map<std::map<K, V, Compare, Allocator>> {};
template <class K, class V, class Hash, class Equal, class Allocator>
struct BuiltIn<std::unordered_map<K, V, Hash, Equal, Allocator>>
    : Map<std::unordered_map<K, V, Hash, Equal, Allocator>> {};

}  // namespace tine::detail
