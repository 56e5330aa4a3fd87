// SPDX-License-Identifier: MIT
#pragma once

/// Ending a child together with everything below it, in steps.
///
/// Descendants are found by walking /proc and held by pidfd from the first signal on, so that those
/// which lose their parent in between are still reached. What had left both the group and the tree
/// before the first look is out of reach; docs/gotchas.md says how far this goes.
/// Source: proc(5), pidfd_open(2)

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "os/pidfd.h"
#include "os/process_table.h"
#include "tine/fd.h"

namespace tine::child {

class TreeStopper {
 public:
  /// `group`: the process group that belongs to the child alone, 0 when it has none.
  TreeStopper(pid_t pid, int pidfd, pid_t group) noexcept
      : pid_(pid), pidfd_(pidfd), group_(group) {}

  /// Sends `signal` to the child, its group and its descendants; those that are stopped are
  /// continued. Gives 0 or the errno of the child itself.
  /// `seen`: a look at /proc taken just now, where many trees are signalled; else it takes its own.
  int signal(int signal, os::ProcessTable* seen = nullptr);
  /// KILL for all of them, also for those that fork meanwhile.
  int kill();
  /// The pidfds of the child and of all descendants seen so far.
  [[nodiscard]] std::vector<int> pidfds() const;
  /// Waits until all of them have ended (a zombie has). False: not before the deadline.
  bool wait_all_ended(os::Deadline deadline) const noexcept;
  /// The pidfd of one descendant that still runs, -1 when there is none.
  [[nodiscard]] int first_running_descendant() const noexcept;

 private:
  struct Descendant {
    pid_t pid;
    std::uint64_t start;
    Fd pidfd;
  };
  [[nodiscard]] bool is_known(const os::ProcessEntry& entry) const noexcept;
  [[nodiscard]] bool is_root(const os::ProcessEntry& entry) const noexcept;
  void look(os::ProcessTable* seen);
  void stop_newcomers();

  bool seen_ = false;  ///< /proc could be read
  pid_t pid_;
  int pidfd_;
  pid_t group_;
  std::vector<Descendant> descendants_;
};

}  // namespace tine::child
