// SPDX-License-Identifier: MIT
#pragma once

/// How single values travel. Not part of the interface; it may change in any release.

#include <chrono>
#include <complex>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <type_traits>
#include <variant>

#include "tine/detail/codec_value.h"

namespace tine::detail {

template <>
struct BuiltIn<bool> : BuiltInBase<> {
  static void put(WireWriter& wire, bool value) { wire.boolean(value); }
  static bool take(WireReader& wire) { return wire.boolean(); }
};

template <std::integral T>
  requires(sizeof(T) <= sizeof(std::int64_t))
struct BuiltIn<T> : BuiltInBase<> {
  using Limits = std::numeric_limits<T>;
  static void put(WireWriter& wire, T value) {
    if constexpr (Limits::is_signed) {
      wire.integer(static_cast<std::int64_t>(value));
    } else {
      wire.natural(static_cast<std::uint64_t>(value));
    }
  }
  static T take(WireReader& wire) {
    if constexpr (Limits::is_signed) {
      return static_cast<T>(wire.integer(Limits::min(), Limits::max()));
    } else {
      return static_cast<T>(wire.natural(Limits::max()));
    }
  }
};

/// Held to the width of the underlying type. Which values an enum without a fixed one may have
/// cannot be asked for.
template <class T>
  requires std::is_enum_v<T>
struct BuiltIn<T> : BuiltInBase<> {
  using Number = BuiltIn<std::underlying_type_t<T>>;
  static void put(WireWriter& wire, T value) {
    Number::put(wire, static_cast<std::underlying_type_t<T>>(value));
  }
  static T take(WireReader& wire) { return static_cast<T>(Number::take(wire)); }
};

template <>
struct BuiltIn<double> : BuiltInBase<> {
  static void put(WireWriter& wire, double value) { wire.real(value); }
  static double take(WireReader& wire) { return wire.real(); }
};

template <>
struct BuiltIn<float> : BuiltInBase<> {
  static void put(WireWriter& wire, float value) { wire.real(value); }
  static float take(WireReader& wire) {
    constexpr double kMost = std::numeric_limits<float>::max();
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const double value = wire.real();
    if ((value > kMost && value != kInfinity) || (value < -kMost && value != -kInfinity)) {
      wire.fail("expected a float, found a number beyond its range");
    }
    return static_cast<float>(value);
  }
};

template <>
struct BuiltIn<std::monostate> : BuiltInBase<> {
  static consteval bool may_be_nil() { return true; }
  static void put(WireWriter& wire, std::monostate) { wire.nil(); }
  static std::monostate take(WireReader& wire) {
    wire.nil();
    return {};
  }
};

template <class Traits, class Allocator>
struct BuiltIn<std::basic_string<char, Traits, Allocator>> : BuiltInBase<> {
  using T = std::basic_string<char, Traits, Allocator>;
  static void put(WireWriter& wire, const T& value) { wire.string({value.data(), value.size()}); }
  static T take(WireReader& wire) {
    const std::string_view text = wire.string();
    return T(text.data(), text.size());
  }
};

template <>
struct BuiltIn<std::filesystem::path> : BuiltInBase<> {
  static void put(WireWriter& wire, const std::filesystem::path& value) {
    wire.string(value.native());
  }
  static std::filesystem::path take(WireReader& wire) {
    return std::filesystem::path{std::string(wire.string())};
  }
};

template <class Rep, class Period>
struct BuiltIn<std::chrono::duration<Rep, Period>> : BuiltInBase<Rep> {
  using T = std::chrono::duration<Rep, Period>;
  static void put(WireWriter& wire, const T& value) { detail::put<Rep>(wire, value.count()); }
  static T take(WireReader& wire) { return T{detail::take<Rep>(wire)}; }
};

template <class Clock, class Duration>
struct BuiltIn<std::chrono::time_point<Clock, Duration>> : BuiltInBase<Duration> {
  using T = std::chrono::time_point<Clock, Duration>;
  static void put(WireWriter& wire, const T& value) {
    detail::put<Duration>(wire, value.time_since_epoch());
  }
  static T take(WireReader& wire) { return T{detail::take<Duration>(wire)}; }
};

template <class Number>
struct BuiltIn<std::complex<Number>> : BuiltInBase<Number> {
  static consteval std::size_t least() { return 3; }
  static void put(WireWriter& wire, const std::complex<Number>& value) {
    wire.array(2);
    detail::put<Number>(wire, value.real());
    detail::put<Number>(wire, value.imag());
    wire.leave();
  }
  static std::complex<Number> take(WireReader& wire) {
    wire.array_of(2, 1);
    const Number real = detail::take<Number>(wire);
    wire.at(Step::member, 1);
    const Number imaginary = detail::take<Number>(wire);
    wire.leave();
    return {real, imaginary};
  }
};

}  // namespace tine::detail
