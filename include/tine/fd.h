// SPDX-License-Identifier: MIT
#pragma once

/// An owned file descriptor: closed once, by whoever holds the Fd last.
///
///     tine::Fd file{::open("data", O_RDONLY | O_CLOEXEC)};

#include <utility>

namespace tine {

class Fd {
 public:
  constexpr Fd() noexcept = default;
  /// Takes ownership; a negative number means none.
  constexpr explicit Fd(int number) noexcept : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.number_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] constexpr int get() const noexcept { return number_; }
  [[nodiscard]] constexpr explicit operator bool() const noexcept { return number_ >= 0; }
  /// Gives up ownership without closing.
  [[nodiscard]] constexpr int release() noexcept { return std::exchange(number_, -1); }
  /// Closes what is held and takes `number` instead. Never retries close(2) after EINTR: Linux has
  /// freed the number by then, and another thread may own it already.
  void reset(int number = -1) noexcept;

 private:
  int number_ = -1;
};

}  // namespace tine
