// SPDX-License-Identifier: MIT
#pragma once

/// What a Child handle holds, and how the code that launches makes one.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "child/guardian.h"
#include "os/pidfd.h"
#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::child {

/// Whose process group a child is in: what may be signalled together with it.
enum class GroupRole : unsigned char {
  callers,  ///< the caller's: never signalled as a whole
  own,      ///< its own: dies with it
  shared,   ///< with the other stages of a pipeline: dies with the last of them
};

/// What the stages of a pipeline have in common: whoever is reaped last takes along what is left in
/// their group, whose number cannot be another's while one of them is not reaped.
struct SharedGroup {
  std::atomic<std::size_t> unreaped{0};
  std::atomic<bool> leave_descendants{false};
};

/// The terminal that a foreground child has borrowed; goes back when the child ends or stops.
class TerminalLoan {
 public:
  TerminalLoan() noexcept = default;
  TerminalLoan(Fd terminal, pid_t lender) noexcept
      : terminal_(std::move(terminal)), lender_(lender) {}
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(terminal_); }
  void lend_to(pid_t group) const noexcept;
  void take_back() const noexcept { lend_to(lender_); }

 private:
  Fd terminal_;
  pid_t lender_ = 0;
};

}  // namespace tine::child

namespace tine::detail {

struct ChildState {
  ChildState();
  ~ChildState();
  ChildState(const ChildState&) = delete;
  ChildState& operator=(const ChildState&) = delete;

  pid_t pid = 0;
  Fd pidfd{};
  /// Held to send and to close: a send() beside a wait() of another thread must not find a pidfd
  /// whose number has become another process's.
  std::mutex sending{};
  pid_t owner = 0;  ///< the process that made it: the handle is inert in all others
  child::GuardianSeat seat{};
  child::GroupRole role = child::GroupRole::own;
  pid_t group = 0;
  std::shared_ptr<child::SharedGroup> shared_group{};
  bool detached = false;
  /// Where the process whose child it is tells how it ended (proxy.h); none: that is us, or init.
  Fd reports{};
  bool leave_descendants = false;
  bool timed_out = false;
  std::chrono::milliseconds grace{2000};
  std::chrono::steady_clock::time_point started{};
  os::Deadline deadline{};
  child::TerminalLoan terminal{};
  std::vector<std::pair<int, Fd>> pipes{};
  std::optional<Finished> finished{};

  /// Whether it is our child, as wait(2) sees it.
  [[nodiscard]] bool is_ours_to_reap() const noexcept { return !detached && !reports; }
  /// The group that dies with this child alone, 0 when there is none.
  [[nodiscard]] pid_t killable_group() const noexcept {
    return role == child::GroupRole::own ? group : 0;
  }

 private:
  friend void close_inherited_handles() noexcept;
  std::uint32_t list_;  ///< of handles, that it is in
  ChildState* previous_;
  ChildState* next_;
};

/// The door for the layers that make and drive children.
struct ChildAccess {
  static Child make(std::unique_ptr<ChildState> state) noexcept;
  static ChildState& state(Child& child) noexcept { return *child.state_; }

  /// Reaps a child that is known to have ended: kills what it left in its group, clears its slot.
  static std::expected<Finished, Error> reap(ChildState& state);
  /// Leaves what even KILL has not ended to the guardian; the handle is empty then.
  static std::unexpected<Error> abandon(ChildState& state);
};

/// Around a fork() of this process: no other thread may be changing the list of handles meanwhile.
void lock_handles() noexcept;
void unlock_handles() noexcept;
/// In the forked child, between lock and unlock: closes the pidfds and pipe ends of all handles,
/// which would otherwise keep pipes of siblings open.
void close_inherited_handles() noexcept;

}  // namespace tine::detail
