// SPDX-License-Identifier: MIT
#pragma once

/// Where a function child was when it crashed, or is when its parent asks.
///
///     prepare_crash_reports();                                  // parent, before the fork
///     install_crash_handlers(*report, CoreDump::no);            // child, before the user's code
///     if (auto crash = read_crash(*report)) show(*crash);       // parent, after the child's end
///     if (auto place = ask_where(pidfd, *report)) show(*place); // parent, while it runs
///
/// The child writes raw addresses into memory that it shares with its parent, and dies by the very
/// signal that it got. What has names is made of them in the parent: symbolise.h.
/// The user's code comes later, so a handler of its own wins. A process that the child forks bare
/// inherits the handlers and writes nothing.
/// Owner: the caller, of the shared memory. Threads: those of the child are reported too, but
/// without an alternate stack, so not when it is their stack that overflows.

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "work/modules.h"

namespace tine::work {

inline constexpr std::size_t kMostFrames = 64;

/// The question where a child is: SIGRTMAX - 6. libc keeps 32 and 33; the signals next to SIGRTMIN,
/// next to SIGRTMAX and from SIGRTMIN+20 on are what programs and debuggers tend to take, the last
/// of these for the init process alone.
inline constexpr int kWhereSignal = 58;

/// As the child writes it, in memory that is shared with the parent, all zero at first. The parent
/// trusts none of it.
struct CrashReport {
  std::uint32_t state;  ///< a ReportState and a futex
  std::int32_t signal;
  std::int32_t code;  ///< si_code of sigaction(2)
  std::int32_t thread;
  std::uint64_t fault_address;
  std::uint32_t count;
  std::uint64_t frames[kMostFrames];
  ModuleMap modules;  ///< of a child that is no copy of its parent
};
static_assert(std::is_trivially_copyable_v<CrashReport>);

/// The parent's copy of it, with its numbers in their bounds.
struct RawBacktrace {
  int signal = 0;
  int code = 0;
  pid_t thread = 0;
  std::uintptr_t fault_address = 0;  ///< 0 where the signal has none
  std::size_t count = 0;
  std::array<std::uintptr_t, kMostFrames> frames{};

  /// Innermost first. Each one lies inside the instruction that was being executed: in a caller,
  /// that is the last byte of its call.
  [[nodiscard]] std::span<const std::uintptr_t> addresses() const noexcept {
    return {frames.data(), count};
  }
};

enum class CoreDump : unsigned char { no, yes };

/// Maps the alternate stack that children inherit, and lets the unwinder do what it does only once.
/// Cost: one load when that has been done. Threads: safe.
void prepare_crash_reports() noexcept;

/// Reports SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP and SIGSYS, and answers kWhereSignal,
/// from now on. Without `core` the child, and what it starts, dump no core.
///
/// Requires: in a forked child whose parent has called prepare_crash_reports(), on its main thread.
/// `report` outlives the process. Cost: 12 system calls, 3 us, and as much for pages
/// that the child is the first to write.
void install_crash_handlers(CrashReport& report, CoreDump core) noexcept;

/// What the child wrote when it crashed; nothing when it did not get that far.
[[nodiscard]] std::optional<RawBacktrace> read_crash(CrashReport& report) noexcept;

/// Asks the child where it is; nothing when it does not answer within `limit`: it is stopped, has
/// ended, blocks signals or is in an uninterruptible sleep. It goes on with what it did, except
/// that the system calls that SA_RESTART does not cover (sleeps, poll) give EINTR in it. One that
/// has since become another program dies of the question. Source: signal(7)
[[nodiscard]] std::optional<RawBacktrace> ask_where(
    int pidfd, CrashReport& report,
    std::chrono::milliseconds limit = std::chrono::milliseconds(100)) noexcept;

/// What to say instead: `no answer within 100 ms; it waits in 'futex_wait_queue'`.
///
/// Requires: `pid` has not been reaped. Source: proc(5), /proc/PID/wchan
[[nodiscard]] std::string no_answer_text(
    pid_t pid, std::chrono::milliseconds limit = std::chrono::milliseconds(100));

}  // namespace tine::work
