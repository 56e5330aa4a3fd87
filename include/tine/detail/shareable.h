// SPDX-License-Identifier: MIT
#pragma once

/// Which types are the same for every process that sees their bytes, and what the compiler says of
/// the others. Not part of the interface; it may change in any release.

#include <array>
#include <atomic>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tine/detail/codec_travels.h"

namespace tine {

class ForkMutex;

namespace detail {
template <class T>
consteval bool looks_shareable();
}

/// Whether a T may lie in memory that processes share: numbers, enums, lock-free std::atomics,
/// arrays and aggregates of these, and other trivially copyable classes. Specialise it with true
/// for a class of yours of which you know better, such as one with a pointer into shared memory:
/// that is at the same address in all of them.
template <class T>
constexpr bool shareable = detail::looks_shareable<T>();

namespace detail {

template <class T>
constexpr bool kIsAtomic = std::is_same_v<T, std::atomic_flag>;
template <class T>
constexpr bool kIsAtomic<std::atomic<T>> = true;
template <class T>
constexpr bool kIsShareableAtomic = std::is_same_v<T, std::atomic_flag>;
template <class T>
constexpr bool kIsShareableAtomic<std::atomic<T>> =
    std::atomic<T>::is_always_lock_free && shareable<T>;

template <class T>
constexpr bool kIsStdArray = false;
template <class T, std::size_t N>
constexpr bool kIsStdArray<std::array<T, N>> = true;

template <class T>
constexpr bool kPointsElsewhere =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T> ||
    std::is_reference_v<T> || kRefusedTemplate<T> == Refusal::reference ||
    kRefusedTemplate<T> == Refusal::view;

/// std::is_trivially_copyable alone is true of std::mutex, because it cannot be copied at all.
template <class T>
constexpr bool kIsOnlyBytes =
    std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T> &&
    (std::is_copy_constructible_v<T> || std::is_move_constructible_v<T>);

template <class... Ms>
consteval bool all_shareable(Types<Ms...>) {
  return (shareable<std::remove_cv_t<Ms>> && ...);
}

/// Aggregates by their members, where they can be named. Empty braces count atomics too, which
/// nothing converts to, but no references.
template <class T>
consteval bool looks_shareable_inside() {
  constexpr std::size_t kCount = count_by_braces<T>();
  if constexpr (kCount > 0 && kCount <= kMostMembers && !InitialisedBy<T, AnyBaseOf<T>>) {
    constexpr auto kTypes = []<class... Ms>(Types<Ms...> types, const auto&...) { return types; };
    return all_shareable(decltype(visit_members<kCount>(std::declval<const T&>(), kTypes)){});
  } else if constexpr (kCount == 0 && refusal_of_aggregate<T>() == Refusal::none) {
    return all_shareable(typename MembersOf<T>::Type{});
  } else {
    return kIsOnlyBytes<T>;
  }
}

template <class T>
consteval bool looks_shareable() {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    return true;
  } else if constexpr (std::is_bounded_array_v<T>) {
    return shareable<std::remove_extent_t<T>>;
  } else if constexpr (kIsStdArray<T>) {
    return shareable<typename T::value_type>;
  } else if constexpr (kIsAtomic<T>) {
    return kIsShareableAtomic<T>;
  } else if constexpr (kPointsElsewhere<T> || !std::is_trivially_destructible_v<T>) {
    return false;
  } else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>) {
    return looks_shareable_inside<T>();
  } else {
    return kIsOnlyBytes<T>;
  }
}

/// Compiles if a T may be shared, and says what to do where not.
template <class T>
consteval bool require_shareable() {
  static_assert(!std::is_same_v<T, ForkMutex>,
                "tine: a ForkMutex belongs to the threads of one process, and a holder that is "
                "killed would lock out all others. Share std::atomics instead, or let one process "
                "own the data and the others send to it");
  static_assert(!std::is_array_v<T>,
                "tine: an array cannot be shared by itself. Use tine::SharedSpan or std::array");
  static_assert(std::is_same_v<T, std::remove_cv_t<T>>,
                "tine: what is shared cannot be const; make it so where it is used");
  static_assert(!kPointsElsewhere<T>,
                "tine: a pointer, reference or view (T) cannot be shared: another process has "
                "other memory behind it. Share the value, or an index into a tine::SharedSpan");
  static_assert(std::is_array_v<T> || kPointsElsewhere<T> || std::is_same_v<T, ForkMutex> ||
                    shareable<std::remove_cv_t<T>>,
                "tine: T cannot be shared: its bytes must mean the same in every process. Use "
                "numbers, enums, lock-free std::atomics, std::array and aggregates of these, or a "
                "trivially copyable class: no pointers or views (share an index), no containers "
                "(use tine::SharedSpan), no mutexes (use std::atomic). If you know better, "
                "specialise tine::shareable<T>");
  return true;
}

}  // namespace detail
}  // namespace tine
