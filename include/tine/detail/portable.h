// SPDX-License-Identifier: MIT
#pragma once

/// Functions and arguments that reach a process which is no copy of this one: a worker of a pool,
/// or one that a fork server or an exec has made. Not part of the interface; it may change in any
/// release.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/codec.h"
#include "tine/detail/byte_sink.h"
#include "tine/detail/called_in.h"
#include "tine/detail/codec_payload.h"
#include "tine/error.h"

namespace tine::detail {

/// Any function, as an address.
using Code = void (*)();

/// In a worker: the function that its host calls `hosts`. Throws BadArguments: it is not there.
Code code_here(Code hosts);

/// Thrown where they are read: they are not what they should be.
struct BadArguments {
  Error error;
};

// ---- Functions that other processes can run ----

/// A pointer to a function: whoever gets it asks here() where it is for him.
template <class F>
concept FunctionPointer = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;
template <FunctionPointer F>
F here(F hosts) {
  return reinterpret_cast<F>(code_here(reinterpret_cast<Code>(hosts)));
}
/// Made anew where it is run: nothing is in it.
template <class F>
concept Stateless = std::is_empty_v<F> && std::is_trivially_default_constructible_v<F>;

/// Whether F can be run elsewhere, with a sentence if not.
template <class F>
consteval bool require_captureless() {
  static_assert(FunctionPointer<F> || Stateless<F>,
                "tine::Pool: the function captures something (or could: [&] and [=] count), and a "
                "worker that runs already does not have it. Pass it as an argument, or use "
                "tine::call or tine::map, whose workers are forked with all that is captured");
  return FunctionPointer<F> || Stateless<F>;
}

/// What an argument travels as: text that is pointed to becomes a string.
template <class T>
struct TravellingArgument {
  using Type = std::decay_t<T>;
};
template <class T>
  requires std::same_as<std::decay_t<T>, const char*> || std::same_as<std::decay_t<T>, char*>
struct TravellingArgument<T> {
  using Type = std::string;
};
template <class T>
using Travelling = typename TravellingArgument<T>::Type;

// ---- Arguments as bytes ----

/// How many bytes they take, and where they go: values as they are, all else behind its length.
template <class T>
class ArgumentBytes {
 public:
  explicit ArgumentBytes(const T& value) : value_(value) {
    if constexpr (kIsEncoded) {
      if (auto bytes = encode(value)) {
        encoded_ = std::move(*bytes);
      } else {
        error_ = std::move(bytes.error());
      }
    }
  }
  [[nodiscard]] std::size_t size() const noexcept {
    return kIsPlain ? sizeof(T) : sizeof(std::uint64_t) + content().size();
  }
  void write(std::byte*& to) const noexcept {
    const auto bytes = content();
    if constexpr (!kIsPlain) {
      const std::uint64_t length = bytes.size();
      std::memcpy(to, &length, sizeof length);
      to += sizeof length;
    }
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  }
  [[nodiscard]] const Error* error() const noexcept {
    if constexpr (kIsEncoded) return error_ ? &*error_ : nullptr;
    return nullptr;
  }

 private:
  static constexpr bool kIsPlain = travels_raw<T>;
  static constexpr bool kIsEncoded = payload_kind<T>() == PayloadKind::message;
  struct Nothing {};

  [[nodiscard]] std::span<const std::byte> content() const noexcept {
    if constexpr (kIsPlain) {
      return std::as_bytes(std::span(&value_, 1));
    } else if constexpr (kIsEncoded) {
      return encoded_;
    } else {
      return std::as_bytes(std::span(value_.data(), value_.size()));
    }
  }

  const T& value_;
  [[no_unique_address]] std::conditional_t<kIsEncoded, std::vector<std::byte>, Nothing> encoded_{};
  [[no_unique_address]] std::conditional_t<kIsEncoded, std::optional<Error>, Nothing> error_{};
};

/// The first `size` of `bytes`, which are taken away.
std::span<const std::byte> take_bytes(std::span<const std::byte>& bytes, std::uint64_t size);

/// The argument at the front of `bytes`, which is taken away. Throws BadArguments.
template <class T>
T read_argument(std::span<const std::byte>& bytes) {
  std::uint64_t size = sizeof(T);
  if constexpr (!travels_raw<T>) {
    std::memcpy(&size, take_bytes(bytes, sizeof size).data(), sizeof size);
  }
  const auto content = take_bytes(bytes, size);
  auto value = [&] {
    if constexpr (travels_raw<T>) {
      return value_from_bytes<T>(content);
    } else {
      return read_record<T>(content);
    }
  }();
  if (!value) throw BadArguments{std::move(value.error())};
  return std::move(*value);
}

// ---- Functions as bytes, in front of their arguments ----

template <class F>
inline constexpr std::size_t function_size = FunctionPointer<F> ? sizeof(F) : 0;

template <class F>
void write_function(const F& function, std::byte*& to) noexcept {
  if constexpr (FunctionPointer<F>) {
    std::memcpy(to, &function, sizeof function);
    to += sizeof function;
  }
}

/// The function at the front of `bytes`, which is taken away. Throws BadArguments.
template <class F>
F read_function(std::span<const std::byte>& bytes) {
  if constexpr (FunctionPointer<F>) {
    F pointer;
    std::memcpy(&pointer, take_bytes(bytes, sizeof pointer).data(), sizeof pointer);
    return here(pointer);
  } else {
    return F{};
  }
}

// ---- Calls that need nothing of the caller's memory ----

struct PortableCall {
  using Thunk = std::expected<void, Error> (*)(std::span<const std::byte> arguments, ByteSink&);
  Thunk thunk = nullptr;
  Code function = nullptr;  ///< that is pointed to, if so
  std::vector<std::byte> arguments{};
};

template <class R, class F, class Arguments>
std::expected<void, Error> call_and_write(F& fn, Arguments& arguments, ByteSink& sink) {
  if constexpr (std::is_void_v<R>) {
    std::apply(fn, std::move(arguments));
    return {};
  } else {
    const CalledIn process;
    const R value = std::apply(fn, std::move(arguments));
    process.end_if_copied();
    return write_payload<R>(value, sink);
  }
}

/// Where it is run: reads the arguments, calls, writes the value.
template <class R, class F, class... Ts>
std::expected<void, Error> run_portable(std::span<const std::byte> bytes, ByteSink& sink) {
  F fn = read_function<F>(bytes);
  std::tuple<Ts...> arguments{read_argument<Ts>(bytes)...};
  return call_and_write<R>(fn, arguments, sink);
}

/// Whether a call of F with these arguments, giving R, can be one.
template <class R, class F, class... Args>
consteval bool is_portable() {
  using Function = std::decay_t<F>;
  if constexpr (!(FunctionPointer<Function> || Stateless<Function>) ||
                !(travels<Travelling<Args>> && ...)) {
    return false;
  } else if constexpr (!std::is_invocable_v<Function&, Travelling<Args>...>) {
    return false;
  } else {
    return std::is_same_v<R, std::decay_t<std::invoke_result_t<Function&, Travelling<Args>...>>>;
  }
}

/// Errors: unencodable.
template <class R, class F, class... Args>
std::expected<PortableCall, Error> make_portable(const F& fn, const Args&... args) {
  using Function = std::decay_t<F>;
  const Function function = fn;
  PortableCall call;
  call.thunk = &run_portable<R, Function, Travelling<Args>...>;
  if constexpr (FunctionPointer<Function>) call.function = reinterpret_cast<Code>(function);
  return std::apply(
      [&](const auto&... pieces) -> std::expected<PortableCall, Error> {
        for (const Error* error : {static_cast<const Error*>(nullptr), pieces.error()...}) {
          if (error != nullptr) return std::unexpected(*error);
        }
        call.arguments.resize((pieces.size() + ... + function_size<Function>));
        std::byte* to = call.arguments.data();
        write_function(function, to);
        (pieces.write(to), ...);
        return std::move(call);
      },
      std::tuple<ArgumentBytes<Travelling<Args>>...>(
          ArgumentBytes<Travelling<Args>>(static_cast<const Travelling<Args>&>(args))...));
}

}  // namespace tine::detail
