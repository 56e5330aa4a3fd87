// SPDX-License-Identifier: MIT
#pragma once

/// How values travel that are one of several things, or a fixed row of them. Not part of the
/// interface; it may change in any release.

#include <algorithm>
#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "tine/detail/codec_value.h"

namespace tine::detail {

/// optional and unique_ptr: nil or the value. Where the value itself may be nil: an array of none
/// or one, so that optional<optional<int>> comes back as it was.
template <class T, class E>
struct Maybe : BuiltInBase<E> {
  static consteval bool may_be_nil() { return !detail::may_be_nil<E>(); }

  static void put(WireWriter& wire, const T& value) {
    if constexpr (detail::may_be_nil<E>()) {
      wire.array(value ? 1 : 0);
      if (value) {
        wire.at(Step::element, 0);
        detail::put<E>(wire, *value);
      }
      wire.leave();
    } else if (value) {
      detail::put<E>(wire, *value);
    } else {
      wire.nil();
    }
  }

  /// `make` takes the value, where there is one.
  template <class Make>
  static T take_if(WireReader& wire, const Make& make) {
    if constexpr (detail::may_be_nil<E>()) {
      const std::size_t count = wire.array(1);
      if (count > 1) wire.fail("expected an array of none or one, found " + std::to_string(count));
      wire.at(Step::element, 0);
      T value = count == 0 ? T{} : make();
      wire.leave();
      return value;
    } else {
      return wire.take_nil() ? T{} : make();
    }
  }
};

template <class E>
struct BuiltIn<std::optional<E>> : Maybe<std::optional<E>, E> {
  using T = std::optional<E>;
  static T take(WireReader& wire) {
    return BuiltIn::take_if(wire, [&wire] { return T{std::in_place, detail::take<E>(wire)}; });
  }
};

template <class E>
struct BuiltIn<std::unique_ptr<E>> : Maybe<std::unique_ptr<E>, E> {
  using T = std::unique_ptr<E>;
  static T take(WireReader& wire) {
    return BuiltIn::take_if(wire, [&wire] { return T{new E(detail::take<E>(wire))}; });
  }
};

/// [index of the alternative, value].
template <class... Es>
struct BuiltIn<std::variant<Es...>> : BuiltInBase<Es...> {
  using T = std::variant<Es...>;
  static consteval std::size_t least() { return 2 + std::min({least_bytes<Es>()...}); }

  static void put(WireWriter& wire, const T& value) {
    if (value.valueless_by_exception()) wire.fail("a variant without a value");
    wire.array(2);
    wire.at(Step::member, 0);
    wire.natural(value.index());
    wire.at(Step::member, 1);
    std::visit([&wire]<class E>(const E& alternative) { detail::put<E>(wire, alternative); },
               value);
    wire.leave();
  }

  static T take(WireReader& wire) {
    wire.array_of(2, 1);
    wire.at(Step::member, 0);
    const std::size_t index = wire.natural(sizeof...(Es) - 1);
    wire.at(Step::member, 1);
    T value = take_alternative(wire, index, std::index_sequence_for<Es...>{});
    wire.leave();
    return value;
  }

 private:
  template <std::size_t... Is>
  static T take_alternative(WireReader& wire, std::size_t index, std::index_sequence<Is...>) {
    using Take = T (*)(WireReader&);
    static constexpr Take kTakes[] = {
        [](WireReader& from) { return T{std::in_place_index<Is>, detail::take<Es>(from)}; }...};
    return kTakes[index](wire);
  }
};

/// [true, value] or [false, error]; nil stands for a void value.
template <class V, class E>
struct BuiltIn<std::expected<V, E>>
    : BuiltInBase<std::conditional_t<std::is_void_v<V>, bool, V>, E> {
  using T = std::expected<V, E>;
  static consteval std::size_t least() { return 3; }

  static void put(WireWriter& wire, const T& value) {
    wire.array(2);
    wire.at(Step::member, 0);
    wire.boolean(value.has_value());
    wire.at(Step::member, 1);
    if (!value) {
      detail::put<E>(wire, value.error());
    } else if constexpr (std::is_void_v<V>) {
      wire.nil();
    } else {
      detail::put<V>(wire, *value);
    }
    wire.leave();
  }

  static T take(WireReader& wire) {
    wire.array_of(2, 1);
    wire.at(Step::member, 0);
    const bool has_value = wire.boolean();
    wire.at(Step::member, 1);
    T value = has_value ? take_value(wire) : T{std::unexpect, detail::take<E>(wire)};
    wire.leave();
    return value;
  }

 private:
  static T take_value(WireReader& wire) {
    if constexpr (std::is_void_v<V>) {
      wire.nil();
      return T{};
    } else {
      return T{std::in_place, detail::take<V>(wire)};
    }
  }
};

/// pair and tuple: an array of their members.
template <class T, class... Es>
struct Row : BuiltInBase<Es...> {
  static consteval std::size_t least() { return (1 + ... + least_bytes<Es>()); }

  static void put(WireWriter& wire, const T& value) {
    wire.array(sizeof...(Es));
    put_each(wire, value, std::index_sequence_for<Es...>{});
    wire.leave();
  }

  static T take(WireReader& wire) {
    wire.array_of(sizeof...(Es), 1);
    T value = take_each(wire, std::index_sequence_for<Es...>{});
    wire.leave();
    return value;
  }

 private:
  template <std::size_t... Is>
  static void put_each([[maybe_unused]] WireWriter& wire, [[maybe_unused]] const T& value,
                       std::index_sequence<Is...>) {
    ((wire.at(Step::member, Is), detail::put<Es>(wire, std::get<Is>(value))), ...);
  }
  template <std::size_t... Is>
  static T take_each([[maybe_unused]] WireReader& wire, std::index_sequence<Is...>) {
    return T{(wire.at(Step::member, Is), detail::take<Es>(wire))...};
  }
};

template <class First, class Second>
struct BuiltIn<std::pair<First, Second>> : Row<std::pair<First, Second>, First, Second> {};
template <class... Es>
struct BuiltIn<std::tuple<Es...>> : Row<std::tuple<Es...>, Es...> {};

}  // namespace tine::detail
