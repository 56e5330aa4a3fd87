// SPDX-License-Identifier: MIT
#pragma once

/// The host's side of the guardian: one per process that has children, started with the first.
///
/// A forked child that makes children of its own gets its own guardian; what it inherited from its
/// parent it forgets. See guardian_table.h for the protocol.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <string_view>
#include <utility>

#include "child/guardian_table.h"
#include "tine/error.h"

namespace tine::child {

/// A reserved slot; given back when this goes, unless abandoned.
class GuardianSeat {
 public:
  GuardianSeat() noexcept = default;
  explicit GuardianSeat(GuardianSlot* slot) noexcept : slot_(slot) {}
  GuardianSeat(GuardianSeat&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  GuardianSeat& operator=(GuardianSeat&& other) noexcept;
  ~GuardianSeat() { release(); }

  [[nodiscard]] GuardianSlot* slot() const noexcept { return slot_; }

  /// The child exists: whoever bears its pid and starts after this is another process.
  void child_started() noexcept;

  /// Lets the guardian end the child after `timeout` (TERM) and `grace` more (KILL).
  void set_deadline(std::chrono::nanoseconds timeout, std::chrono::nanoseconds grace) noexcept;
  void clear_deadline() noexcept;
  /// We end the child for its deadline. False: the guardian is doing that already.
  bool claim_timeout() noexcept;
  [[nodiscard]] bool guardian_has_acted() const noexcept;

  /// From here on the guardian no longer signals this child. Call while it is a zombie.
  void clear() noexcept;
  void release() noexcept;
  /// Leaves the entry to the guardian: the child could not be reaped.
  void abandon() noexcept { slot_ = nullptr; }

 private:
  GuardianSlot* slot_ = nullptr;
};

/// Reserves a slot; starts the guardian first, or again, when there is none.
/// Errors: guardian, with the reason; too_many_processes: all slots are taken.
std::expected<GuardianSeat, Error> reserve_guardian_seat();

/// While it lives: when this process dies, everything with this `NAME=value` in its environment
/// goes as well.
class KillMark {
 public:
  KillMark() noexcept = default;
  /// Errors: guardian: not a NAME=value of at most 256 bytes, or too many of them.
  [[nodiscard]] static std::expected<KillMark, Error> set(std::string_view text);
  KillMark(KillMark&& other) noexcept { *this = std::move(other); }
  KillMark& operator=(KillMark&& other) noexcept;
  ~KillMark();
  [[nodiscard]] explicit operator bool() const noexcept { return mark_ != nullptr; }

 private:
  KillMark(GuardianMark* mark, pid_t owner) noexcept : mark_(mark), owner_(owner) {}
  GuardianMark* mark_ = nullptr;
  pid_t owner_ = 0;
};

/// Replaces a guardian that has died.
void revive_guardian() noexcept;

/// In a forked child: closes what belongs to the parent's guardian.
void forget_guardian_of_parent() noexcept;

/// -1 when there is none.
[[nodiscard]] int guardian_pidfd() noexcept;

}  // namespace tine::child
