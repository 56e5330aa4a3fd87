// SPDX-License-Identifier: MIT
#pragma once

/// Which types can travel, which as their bare bytes, and what the compiler says of the others. Not
/// part of the interface; it may change in any release.

#include <array>
#include <chrono>
#include <complex>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

#include "tine/detail/codec_aggregate.h"
#include "tine/detail/codec_containers.h"
#include "tine/detail/codec_scalars.h"
#include "tine/detail/codec_sums.h"

namespace tine::detail {

enum class Refusal : unsigned char {
  none,
  pointer,
  reference,
  view,
  function,
  shared_pointer,
  wide_number,
  union_,
  base,
  members,
  array_to_fill,
  class_,
  other,
};

template <class T>
constexpr Refusal kRefusedTemplate = Refusal::none;
template <class T>
constexpr Refusal kRefusedTemplate<std::reference_wrapper<T>> = Refusal::reference;
template <class Char, class Traits>
constexpr Refusal kRefusedTemplate<std::basic_string_view<Char, Traits>> = Refusal::view;
template <class T, std::size_t N>
constexpr Refusal kRefusedTemplate<std::span<T, N>> = Refusal::view;
template <class T>
constexpr Refusal kRefusedTemplate<std::function<T>> = Refusal::function;
template <class T>
constexpr Refusal kRefusedTemplate<std::move_only_function<T>> = Refusal::function;
template <class T>
constexpr Refusal kRefusedTemplate<std::shared_ptr<T>> = Refusal::shared_pointer;
template <class T>
constexpr Refusal kRefusedTemplate<std::weak_ptr<T>> = Refusal::shared_pointer;

/// A structured binding could not even be made of it.
template <class T>
consteval bool has_array_that_hides_members() {
  if constexpr (counted_by_braces<T>()) {
    return false;
  } else {
    return counts_array<T, member_count<T>()>();
  }
}

template <class T>
consteval Refusal refusal_of_aggregate() {
  if constexpr (member_count<T>() > kMostMembers) {
    return Refusal::members;
  } else if constexpr (has_base<T>()) {
    return Refusal::base;
  } else if constexpr (has_array_that_hides_members<T>()) {
    return Refusal::array_to_fill;
  } else {
    constexpr typename MembersOf<T>::Type kMembers{};
    constexpr bool kCanBeFilled = InitialisedBy<T> && all_assignable(kMembers);
    return any_array(kMembers) && !kCanBeFilled ? Refusal::array_to_fill : Refusal::none;
  }
}

/// What is against T itself, whatever is in it.
template <class T>
consteval Refusal refusal_of() {
  if constexpr (std::is_reference_v<T>) {
    return Refusal::reference;
  } else if constexpr (HasCodec<T> || IsBuiltIn<T>) {
    return Refusal::none;
  } else if constexpr (std::is_function_v<std::remove_pointer_t<T>> ||
                       std::is_member_function_pointer_v<T>) {
    return Refusal::function;
  } else if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> ||
                       std::is_null_pointer_v<T>) {
    return Refusal::pointer;
  } else if constexpr (kRefusedTemplate<T> != Refusal::none) {
    return kRefusedTemplate<T>;
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Refusal::wide_number;
  } else if constexpr (std::is_union_v<T>) {
    return Refusal::union_;
  } else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>) {
    return refusal_of_aggregate<T>();
  } else {
    return std::is_class_v<T> ? Refusal::class_ : Refusal::other;
  }
}

/// The types in a T that its own form is made of.
template <class T>
struct PartsOf {
  using Type = typename MembersOf<T>::Type;
};
template <HasCodec T>
struct PartsOf<T> {
  using Type = Types<>;
};
template <IsBuiltIn T>
  requires(!HasCodec<T>)
struct PartsOf<T> {
  using Type = typename BuiltIn<T>::Parts;
};

template <class T, class... Above>
consteval bool travels_below();
template <class... Parts, class... Above>
consteval bool all_travel(Types<Parts...>, Types<Above...>) {
  return (travels_below<Parts, Above...>() && ...);
}
/// A type that is within itself, by way of a vector or pointer, is not looked at again.
template <class T, class... Above>
consteval bool travels_below() {
  if constexpr ((std::is_same_v<T, Above> || ...)) {
    return true;
  } else if constexpr (refusal_of<T>() != Refusal::none) {
    return false;
  } else {
    return all_travel(typename PartsOf<T>::Type{}, Types<T, Above...>{});
  }
}

/// T can travel: it, and everything in it.
template <class T>
constexpr bool travels =
    !std::is_array_v<T> && std::is_same_v<T, std::remove_cv_t<T>> && travels_below<T>();

/// Steps of the way to what cannot travel, and what that is, for the eyes of a person.
template <std::size_t Index, class Aggregate>
struct Member;
template <class Container>
struct Inside;
template <class T, class... Way>
struct Refused {};

template <class T, class... Way, class... Above>
consteval auto first_refused(Types<Above...> above);
template <std::size_t Index, class T, class... Way, class Part, class... Parts, class... Above>
consteval auto first_refused_of(Types<Part, Parts...>, Types<Above...> above) {
  if constexpr (travels_below<Part, Above...>()) {
    return first_refused_of<Index + 1, T, Way...>(Types<Parts...>{}, above);
  } else if constexpr (IsBuiltIn<T>) {
    return first_refused<Part, Way..., Inside<T>>(above);
  } else {
    return first_refused<Part, Way..., Member<Index, T>>(above);
  }
}
/// The first part of T, which is within `above`, that cannot travel for a reason of its own.
template <class T, class... Way, class... Above>
consteval auto first_refused(Types<Above...>) {
  if constexpr (refusal_of<T>() != Refusal::none) {
    return Refused<T, Way...>{};
  } else {
    return first_refused_of<0, T, Way...>(typename PartsOf<T>::Type{}, Types<T, Above...>{});
  }
}

/// Does not compile, and the compiler shows T and the Way to it beside the sentence.
template <class T, class... Way>
consteval void cannot_travel(Refused<T, Way...>) {
  constexpr Refusal why = refusal_of<T>();
  static_assert(why != Refusal::pointer,
                "tine: a pointer (T, at the end of Way) cannot travel: another process has other "
                "memory. Send what it points to, by value or as a std::unique_ptr");
  static_assert(why != Refusal::reference,
                "tine: a reference (T, at the end of Way) cannot travel: another process has other "
                "memory. Send the value");
  static_assert(why != Refusal::view,
                "tine: a view (T, at the end of Way) cannot travel: it does not own what it shows. "
                "Send a std::string or a std::vector");
  static_assert(why != Refusal::function,
                "tine: a function (T, at the end of Way) cannot travel as a value. Send what tells "
                "the other side which one to call");
  static_assert(why != Refusal::shared_pointer,
                "tine: a shared pointer (T, at the end of Way) cannot travel: nothing is shared "
                "with another process. Send the value, or a std::unique_ptr");
  static_assert(why != Refusal::wide_number,
                "tine: T, at the end of Way, is a number too wide to travel. Send a double or an "
                "integer of at most 64 bits");
  static_assert(why != Refusal::union_,
                "tine: a union (T, at the end of Way) cannot travel: nobody knows which member it "
                "holds. Use a std::variant, or specialise tine::Codec<T>");
  static_assert(
      why != Refusal::base,
      "tine: an aggregate with a base class (T, at the end of Way) cannot be looked into. "
      "Make the base a member, or specialise tine::Codec<T>");
  static_assert(
      why != Refusal::members,
      "tine: an aggregate of more than 40 members (T, at the end of Way) cannot be looked "
      "into. Group them in smaller ones, or specialise tine::Codec<T>");
  static_assert(why != Refusal::array_to_fill,
                "tine: T, at the end of Way, has an array, and other members that cannot be made "
                "from nothing and assigned. Make the array a std::array, or specialise "
                "tine::Codec<T>");
  static_assert(why != Refusal::class_,
                "tine: T, at the end of Way, is a class that cannot be looked into, and has no "
                "codec. Specialise tine::Codec<T>: see tine/codec.h");
  static_assert(why != Refusal::other, "tine: T, at the end of Way, is no type of values");
}

/// Compiles if T can travel, and says which part of it cannot where not.
template <class T>
consteval bool require_travels() {
  static_assert(!std::is_array_v<T>,
                "tine: an array cannot travel by itself. Send a std::array, a std::vector or a "
                "std::string");
  if constexpr (!std::is_array_v<T> && !travels<T>) cannot_travel(first_refused<T>(Types<>{}));
  return travels<T>;
}

template <class T>
consteval bool bytes_are_value();
template <class... Ts>
consteval bool all_bytes_are_values(Types<Ts...>) {
  return (bytes_are_value<Ts>() && ...);
}
template <class T>
constexpr bool kIsPlainTemplate = std::is_arithmetic_v<T> || std::is_enum_v<T>;
template <class E, std::size_t N>
constexpr bool kIsPlainTemplate<E[N]> = true;
template <class E, std::size_t N>
constexpr bool kIsPlainTemplate<std::array<E, N>> = true;
template <class Number>
constexpr bool kIsPlainTemplate<std::complex<Number>> = true;
template <class Rep, class Period>
constexpr bool kIsPlainTemplate<std::chrono::duration<Rep, Period>> = true;
template <class Clock, class Duration>
constexpr bool kIsPlainTemplate<std::chrono::time_point<Clock, Duration>> = true;

/// All that there is to a T are its bytes. What is built in and has a state beside its parts, such
/// as optional, does not count: its bytes could lie about that state.
template <class T>
consteval bool bytes_are_value() {
  if constexpr (HasCodec<T> || !std::is_trivially_copyable_v<T> ||
                (IsBuiltIn<T> && !kIsPlainTemplate<T>)) {
    return false;
  } else {
    return all_bytes_are_values(typename PartsOf<T>::Type{});
  }
}

/// Between processes of one image T is copied as it lies in memory, without MessagePack.
template <class T>
consteval bool is_raw() {
  if constexpr (travels<T>) {
    return bytes_are_value<T>();
  } else {
    return false;
  }
}
template <class T>
constexpr bool travels_raw = is_raw<T>();

}  // namespace tine::detail
