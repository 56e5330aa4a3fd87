// SPDX-License-Identifier: MIT
#pragma once

/// What every kind of value has to say about itself, and the way to it. Not part of the interface;
/// it may change in any release.

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "tine/detail/codec_members.h"
#include "tine/detail/codec_wire.h"

namespace tine {

template <class T>
struct Codec;
class Encoder;
class Decoder;

namespace detail {

/// How the types of the language and of the standard library travel. A specialisation has
///   Parts          the types in it, as Types<...>
///   least()        the fewest bytes that one can have
///   may_be_nil()   whether nil may stand for one; a type around it then has to find another sign
///   put, take      to the wire and from it
template <class T>
struct BuiltIn;

template <class... Ts>
struct BuiltInBase {
  using Parts = Types<std::remove_cv_t<Ts>...>;
  static consteval std::size_t least() { return 1; }
  static consteval bool may_be_nil() { return false; }
};

template <class T>
concept HasCodec = requires { sizeof(Codec<T>); };
template <class T>
concept IsBuiltIn = requires { sizeof(BuiltIn<T>); };

// In all of these T may be const, as in unique_ptr<const Item>.
template <class T>
void put(WireWriter& wire, const T& value);
template <class T>
[[nodiscard]] T take(WireReader& wire);
template <class T>
consteval std::size_t least_bytes();

template <class T>
consteval bool may_be_nil() {
  if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) {
    return may_be_nil<std::remove_cv_t<T>>();
  } else if constexpr (HasCodec<T>) {
    return true;  // for all that we know
  } else if constexpr (IsBuiltIn<T>) {
    return BuiltIn<T>::may_be_nil();
  } else {
    return false;
  }
}

/// `std::vector<Item>`, as the compiler writes it.
template <class T>
constexpr std::string_view type_name() {
  constexpr std::string_view text = __PRETTY_FUNCTION__;
  constexpr std::string_view before = "T = ";
  constexpr std::size_t begin = text.find(before) + before.size();
  // g++ explains std::string_view behind a semicolon, clang++ ends with the bracket.
  constexpr std::size_t end = std::min(text.rfind(';'), text.rfind(']'));
  return text.substr(begin, end - begin);
}

}  // namespace detail
}  // namespace tine
