// SPDX-License-Identifier: MIT
#pragma once

/// A function without captures, for what is called in a process that has not the caller's memory: a
/// pointer to a function, or a lambda with nothing between its brackets. Anything else is refused
/// where it is compiled.

#include <cstddef>
#include <type_traits>

namespace tine {

template <class Signature>
class PlainFunction;

template <class R, class... Args>
class PlainFunction<R(Args...)> {
 public:
  using Pointer = R (*)(Args...);

  constexpr PlainFunction() noexcept = default;
  constexpr PlainFunction(std::nullptr_t) noexcept {}  // NOLINT: as a pointer
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, PlainFunction>)
  constexpr PlainFunction(F&& fn) noexcept {  // NOLINT: as a pointer
    static_assert(std::is_convertible_v<F, Pointer>,
                  "tine: this is called in another process, so it has to be a function, or a "
                  "lambda without captures, with these arguments. What it needs to know has to be "
                  "in a global variable, or with the task as an argument.");
    if constexpr (std::is_convertible_v<F, Pointer>) pointer_ = fn;
  }

  constexpr operator Pointer() const noexcept { return pointer_; }  // NOLINT: as a pointer

 private:
  Pointer pointer_ = nullptr;
};

}  // namespace tine
