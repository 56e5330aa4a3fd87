// SPDX-License-Identifier: MIT
#pragma once

/// From a SpawnPlan to a process.

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>

#include "child/spawn_plan.h"
#include "tine/fd.h"

namespace tine::child {

struct SpawnedProcess {
  pid_t pid = 0;
  Fd pidfd;
};

/// What a new process is to its maker.
enum class Kinship : unsigned char {
  child,
  detached,  ///< made through an intermediate that is gone already: a child of init
};

/// Makes a process that becomes the program of `plan`, without copying this one's memory where the
/// kernel allows. On failure nothing is left behind: the half-made child has been reaped.
///
/// Errors: SpawnReport{stage fork: no process could be made; otherwise what the child met}.
/// Threads: safe. Cost: clone3, two rt_sigprocmask and the wait for exec, whatever the size of the
/// parent.
std::expected<SpawnedProcess, SpawnReport> spawn(const SpawnPlan& plan, Kinship kinship);

/// A launch that goes on beside its launcher: the child sets itself up and executes its program in
/// our memory while we do other things, instead of suspending us until then.
///
/// The child runs in after_fork.cc alone, on a stack in here, and reads nothing but the plan; so
/// the pad, the plan and all that it points to must stay as they are while busy(). The kernel
/// clears the word as the child leaves our memory, by exec or by exit. Source: clone(2),
/// CLONE_CHILD_CLEARTID
class LaunchPad {
 public:
  LaunchPad() noexcept = default;
  LaunchPad(const LaunchPad&) = delete;
  LaunchPad& operator=(const LaunchPad&) = delete;
  ~LaunchPad() { wait(); }

  SpawnPlan plan{};

  [[nodiscard]] bool busy() const noexcept { return child_.load(std::memory_order_acquire) != 0; }
  /// Until it is not busy. Blocks: for the time from clone to exec.
  void wait() noexcept;
  /// Forgets the last launch. Requires: not busy.
  void reset() noexcept { report_ = {}; }
  /// Why the child did not become the program; errno_value is 0 when it did. Requires: not busy.
  [[nodiscard]] const SpawnReport& report() const noexcept { return report_; }

 private:
  friend std::expected<SpawnedProcess, SpawnReport> spawn_beside(LaunchPad& pad);
  static void run_child(void* pad);
  long launch(int& pidfd) noexcept;

  static constexpr std::size_t kStackBytes = 16 * 1024;
  alignas(64) char stack_[kStackBytes];
  std::atomic<std::int32_t> child_{0};
  SpawnReport report_{};
};

/// Starts the process of `pad.plan`, as spawn() does, but returns at once: that the program could
/// not be executed shows when the child has ended, in the report. Where the kernel lacks what this
/// needs, it waits like spawn().
std::expected<SpawnedProcess, SpawnReport> spawn_beside(LaunchPad& pad);

/// How programs are started here; tests choose, everybody else finds out.
enum class SpawnMethod : unsigned char { automatic, clone3_vfork, clone_vfork, fork };
void set_spawn_method(SpawnMethod method) noexcept;
[[nodiscard]] SpawnMethod spawn_method() noexcept;

}  // namespace tine::child
