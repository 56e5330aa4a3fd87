// SPDX-License-Identifier: MIT
#pragma once

/// How aggregates travel: their members are found by what initialises them and by structured
/// bindings. Not part of the interface; it may change in any release.

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tine/detail/codec_containers.h"
#include "tine/detail/codec_members.h"
#include "tine/detail/codec_value.h"

namespace tine::detail {

/// Initialises any member but an array; where it is not evaluated.
struct Anything {
  template <class T>
  operator T&() const& noexcept;  // NOLINT: implicit is the point
  template <class T>
  operator T&&() const&& noexcept;  // NOLINT
};
template <std::size_t>
using AnythingAt = Anything;

/// Initialises a base of T alone, or what takes everything, as ConvertsToNothing does.
template <class T>
struct AnyBaseOf {
  template <class Base>
    requires(std::is_base_of_v<Base, T> && !std::is_same_v<Base, T>)
  operator Base&&() const noexcept;  // NOLINT
};
struct ConvertsToNothing {};

template <class T, class... Values>
concept InitialisedBy = requires { T{Values{}...}; };
/// The same with braces of its own around the one in the middle.
template <class T, class Before, class After>
constexpr bool kBracedBetween = false;
template <class T, std::size_t... Before, std::size_t... After>
constexpr bool kBracedBetween<T, std::index_sequence<Before...>, std::index_sequence<After...>> =
    requires { T{AnythingAt<Before>{}..., {Anything{}}, AnythingAt<After>{}...}; };

/// All members can be made from nothing, so that empty braces count them, and nothing more can
/// follow these.
template <class T>
consteval bool counted_by_braces() {
  if constexpr (count_by_braces<T>() == 0) {
    return InitialisedBy<T> && !InitialisedBy<T, Anything>;
  } else {
    return count_by_braces<T, Anything>() == count_by_braces<T>() - 1;
  }
}

/// The most values that initialise a T, each element of an array being one; at least `Is`.
template <class T, std::size_t... Is>
consteval std::size_t count_by_values(std::index_sequence<Is...>) {
  if constexpr (InitialisedBy<T, AnythingAt<Is>...>) {
    return sizeof...(Is);
  } else if constexpr (sizeof...(Is) == 0) {
    return 0;
  } else {
    return count_by_values<T>(std::make_index_sequence<sizeof...(Is) - 1>{});
  }
}

/// Whether one of the members is an array, each element of which was counted: braces around the
/// first one then leave room for fewer.
template <class T, std::size_t kCount, std::size_t kAt = 0, std::size_t kElements = 1>
consteval bool counts_array() {
  if constexpr (kAt == kCount) {
    return false;
  } else if constexpr (kAt + kElements > kCount) {
    return counts_array<T, kCount, kAt + 1>();
  } else if constexpr (kBracedBetween<T, std::make_index_sequence<kAt>,
                                      std::make_index_sequence<kCount - kAt - kElements>>) {
    if constexpr (kElements > 1) return true;
    return counts_array<T, kCount, kAt + 1>();
  } else {
    return counts_array<T, kCount, kAt, kElements + 1>();
  }
}

/// kMostMembers + 1: too many.
template <class T>
consteval std::size_t member_count() {
  if constexpr (counted_by_braces<T>()) {
    return count_by_braces<T>();
  } else {
    return count_by_values<T>(std::make_index_sequence<kMostMembers + 1>{});
  }
}

template <class T>
consteval bool has_base() {
  if constexpr (counted_by_braces<T>()) {
    return InitialisedBy<T, AnyBaseOf<T>> && !InitialisedBy<T, ConvertsToNothing>;
  } else {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
      return InitialisedBy<T, AnyBaseOf<T>, AnythingAt<Is>...> &&
             !InitialisedBy<T, ConvertsToNothing, AnythingAt<Is>...>;
    }(std::make_index_sequence < member_count<T>() == 0 ? 0 : member_count<T>() - 1 > {});
  }
}

/// The declared types, without const: also `int&` and `int[3]`.
template <class T>
struct MembersOf {
  struct Visit {
    template <class... Ms, class... Members>
    constexpr Types<std::remove_cv_t<Ms>...> operator()(Types<Ms...>, Members&...) const {
      return {};
    }
  };
  using Type = decltype(visit_members<member_count<T>()>(std::declval<const T&>(), Visit{}));
};

template <class... Ms>
consteval bool any_array(Types<Ms...>) {
  return (std::is_array_v<Ms> || ...);
}
template <class... Ms>
consteval bool all_assignable(Types<Ms...>) {
  return (std::is_move_assignable_v<std::remove_all_extents_t<Ms>> && ...);
}
template <class... Ms>
consteval std::size_t least_of(Types<Ms...>) {
  return (1 + ... + least_bytes<Ms>());
}

template <class T>
void put_aggregate(WireWriter& wire, const T& value) {
  visit_members<member_count<T>()>(value, [&]<class... Ms>(Types<Ms...>, const auto&... members) {
    wire.array(sizeof...(Ms));
    [[maybe_unused]] std::size_t i = 0;
    ((wire.at(Step::member, i++), put<std::remove_cv_t<Ms>>(wire, members)), ...);
    wire.leave();
  });
}

template <class M>
void fill_member(WireReader& wire, M& member) {
  if constexpr (std::is_array_v<M>) {
    BuiltIn<M>::fill(wire, member);
  } else {
    member = take<M>(wire);
  }
}

/// Braces give the order, and nothing has to be made first to be assigned later. An array cannot be
/// returned into its place, so that an aggregate with one is made empty and filled.
template <class T, class... Ms, std::size_t... Is>
T take_members([[maybe_unused]] WireReader& wire, Types<Ms...> types, std::index_sequence<Is...>) {
  if constexpr (any_array(types)) {
    T value{};
    visit_members<sizeof...(Ms)>(value, [&](auto, auto&... members) {
      ((wire.at(Step::member, Is), fill_member(wire, members)), ...);
    });
    return value;
  } else {
    return T{(wire.at(Step::member, Is), take<Ms>(wire))...};
  }
}

template <class T>
T take_aggregate(WireReader& wire) {
  constexpr std::size_t kCount = member_count<T>();
  wire.array_of(kCount, 1);
  T value =
      take_members<T>(wire, typename MembersOf<T>::Type{}, std::make_index_sequence<kCount>{});
  wire.leave();
  return value;
}

}  // namespace tine::detail
