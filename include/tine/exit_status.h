// SPDX-License-Identifier: MIT
#pragma once

#if __cplusplus < 202100L
#error "tine needs C++23: compile with -std=c++23"
#endif

/// How a process ended: a code it chose, or a signal that killed it.
///
/// There is no conversion to int: 3 the exit code and 3 the signal are different values here, and
/// the shell's 128+n exists in the `tine` command alone.
///
///     if (auto code = status.code()) std::cout << "exited with " << *code;

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace tine {

class ExitStatus {
 public:
  /// Success: exited with 0.
  constexpr ExitStatus() noexcept = default;

  /// `code` is what the process passed to exit, 0..255.
  [[nodiscard]] static constexpr ExitStatus exited(int code) noexcept {
    return ExitStatus{false, false, static_cast<std::uint8_t>(code)};
  }

  /// `number` is the signal that ended the process, 1..64.
  [[nodiscard]] static constexpr ExitStatus signaled(int number, bool core_dumped) noexcept {
    return ExitStatus{true, core_dumped, static_cast<std::uint8_t>(number)};
  }

  /// Decodes the integer that wait(2) stores: the code is its high byte, the signal its low seven
  /// bits, and 0x80 says that a core was dumped. 768 is exit code 3.
  [[nodiscard]] static constexpr ExitStatus from_wait_status(int raw) noexcept {
    const int signal = raw & 0x7f;
    if (signal == 0) return exited((raw >> 8) & 0xff);
    return signaled(signal, (raw & 0x80) != 0);
  }

  [[nodiscard]] constexpr bool success() const noexcept { return !signaled_ && number_ == 0; }

  /// The exit code; nothing when a signal ended the process.
  [[nodiscard]] constexpr std::optional<int> code() const noexcept {
    return signaled_ ? std::nullopt : std::optional<int>(number_);
  }

  /// The signal that ended the process; nothing when it exited by itself.
  [[nodiscard]] constexpr std::optional<int> signal() const noexcept {
    return signaled_ ? std::optional<int>(number_) : std::nullopt;
  }

  [[nodiscard]] constexpr bool core_dumped() const noexcept { return core_dumped_; }

  /// `exited with 3`, `killed by signal 11 (SIGSEGV, core dumped)`.
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(ExitStatus, ExitStatus) noexcept = default;

 private:
  constexpr ExitStatus(bool is_signal, bool core, std::uint8_t number) noexcept
      : signaled_(is_signal), core_dumped_(core), number_(number) {}

  bool signaled_ = false;
  bool core_dumped_ = false;
  std::uint8_t number_ = 0;
};

/// `SIGTERM` for 15, `SIGRTMIN+3` for a real-time one, `signal 77` for an unknown one.
[[nodiscard]] std::string signal_name(int number);

}  // namespace tine
