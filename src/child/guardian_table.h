// SPDX-License-Identifier: MIT
#pragma once

/// The memory that a process shares with its guardian: who has to die with it, and when.
///
/// One slot per child. The host reserves it before the clone; the kernel (CLONE_PARENT_SETTID) or
/// the child itself stores the pid before any code of the user's runs. The slot is cleared while
/// the child is a zombie, so a pid in the table is never a recycled one; a host that has replaced
/// itself by exec clears nothing any more, for which `latest_start` is there. `lock` keeps the two
/// sides from acting at once: the guardian signals, and the host reaps, only while holding it.
///
/// Deadlines: the guardian sends TERM a little after the deadline, so that a host which is waiting
/// acts first, and KILL after the grace, to all that it saw at the TERM: also to what has lost its
/// parent since, or whose leader the host has reaped.

#include <atomic>
#include <cstdint>

namespace tine::child {

inline constexpr std::uint32_t kGuardianSlots = 32768;
inline constexpr int kGuardianTableFd = 3;
inline constexpr int kGuardianHostFd = 4;  ///< pidfd of the host
inline constexpr int kGuardianWakeFd = 5;  ///< eventfd: a deadline became nearer

inline constexpr std::uint32_t kGuardianMarks = 16;
inline constexpr std::uint32_t kMarkBytes = 256;

/// How long the guardian gives a host that is waiting itself.
inline constexpr std::int64_t kHostGoesFirst = 10'000'000;  // ns

/// Who ends a child for its deadline.
inline constexpr std::uint32_t kHostActs = 1;
inline constexpr std::uint32_t kGuardianTerm = 2;
inline constexpr std::uint32_t kGuardianKill = 3;

/// Who holds the lock of a slot.
inline constexpr std::uint32_t kGuardianHoldsLock = 1;
inline constexpr std::uint32_t kHostHoldsLock = 2;

struct GuardianSlot {
  std::atomic<std::int32_t> pid{0};  ///< 0: nobody
  std::atomic<std::int32_t> group{
      0};  ///< process group to kill as well; -1: the pid's own; 0: none
  std::atomic<std::uint32_t> lock{0};
  /// kHostActs, kGuardianTerm or kGuardianKill: whichever side changes this from 0 first.
  std::atomic<std::uint32_t> timed_out{0};
  std::atomic<std::int64_t> deadline{0};  ///< CLOCK_MONOTONIC, ns; 0: none
  std::atomic<std::int64_t> grace{0};     ///< ns between TERM and KILL
  /// Clock ticks since boot, as in /proc/PID/stat: what started later under this pid is somebody
  /// else. 0: not known yet.
  std::atomic<std::uint64_t> latest_start{0};
  /// A forked child that is to run a function waits in this futex until it is 1: until its parent
  /// holds its pidfd.
  std::atomic<std::uint32_t> go{0};
};

/// A `NAME=value` in the environment of what else has to die with the host.
struct GuardianMark {
  std::atomic<std::uint32_t> length{0};  ///< 0: unused
  char text[kMarkBytes]{};
};

struct GuardianTable {
  std::atomic<std::uint32_t> used{0};  ///< slots at and above this have never been reserved
  /// The guardian's thread id; when it dies, however, the kernel sets FUTEX_OWNER_DIED in it. So a
  /// look at memory tells whether it lives. 0: it is only just starting.
  /// Source: get_robust_list(2), "robust futexes"
  std::atomic<std::uint32_t> life{0};
  /// Until when the guardian sleeps (CLOCK_MONOTONIC, ns); 0: it is awake and will look. A host
  /// that sets a nearer deadline wakes it.
  std::atomic<std::int64_t> asleep_until{0};
  GuardianMark marks[kGuardianMarks];
  GuardianSlot slots[kGuardianSlots];
};

static_assert(std::atomic<std::int64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<std::int32_t>) == 4, "the kernel writes the pid as an int");

}  // namespace tine::child
