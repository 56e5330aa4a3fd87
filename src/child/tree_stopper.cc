// SPDX-License-Identifier: MIT
#include "child/tree_stopper.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/process_table.h"
#include "os/trace.h"
#include "tine/exit_status.h"

namespace tine::child {

bool TreeStopper::is_known(const os::ProcessEntry& entry) const noexcept {
  return std::ranges::any_of(descendants_, [&](const Descendant& known) {
    return known.pid == entry.pid && known.start == entry.start;
  });
}

bool TreeStopper::is_root(const os::ProcessEntry& entry) const noexcept {
  return entry.pid == pid_ || (group_ != 0 && entry.group == group_) || is_known(entry);
}

void TreeStopper::look(os::ProcessTable* seen) {
  os::ProcessTable own;
  os::ProcessTable& table = seen != nullptr ? *seen : own;
  seen_ = seen != nullptr || own.scan();
  if (!seen_) return;
  table.mark_family([this](const auto& entry) { return is_root(entry); }, ::getpid());
  for (const auto& entry : table) {
    if (!entry.member || entry.pid == pid_ || entry.state == 'Z' || is_known(entry)) continue;
    Fd pidfd = os::open_pidfd(entry.pid);
    os::ProcessEntry now;
    if (pidfd && os::read_stat(entry.pid, now) && now.start == entry.start) {
      descendants_.push_back({entry.pid, entry.start, std::move(pidfd)});
    }
  }
}

int TreeStopper::signal(int signal, os::ProcessTable* seen) {
  look(seen);
  if (os::tracing()) {
    os::trace("signal " + signal_name(signal) + " to " + std::to_string(pid_) + " and " +
              std::to_string(descendants_.size()) + " descendants");
  }
  const int result = os::send_signal(pidfd_, signal);
  if (!seen_ && group_ != 0) ::kill(-group_, signal);  // no /proc: the group has to do
  for (const auto& descendant : descendants_) os::send_signal(descendant.pidfd.get(), signal);
  if (signal == SIGSTOP) stop_newcomers();
  if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGCONT || signal == SIGKILL)
    return result;
  os::send_signal(pidfd_, SIGCONT);
  for (const auto& descendant : descendants_) os::send_signal(descendant.pidfd.get(), SIGCONT);
  return result;
}

/// What was forked during a look is not in it; once all are stopped nobody forks any more.
void TreeStopper::stop_newcomers() {
  constexpr int kMostRounds = 64;
  for (int round = 0; round < kMostRounds; ++round) {
    const std::size_t known = descendants_.size();
    look(nullptr);
    if (descendants_.size() == known) return;
    for (std::size_t i = known; i < descendants_.size(); ++i) {
      os::send_signal(descendants_[i].pidfd.get(), SIGSTOP);
    }
  }
}

int TreeStopper::kill() {
  if (os::tracing()) os::trace("kill " + std::to_string(pid_) + " with all below it");
  os::freeze_and_kill([this](const auto& entry) { return is_root(entry); }, ::getpid());
  // Without /proc the above found nobody.
  const int result = os::send_signal(pidfd_, SIGKILL);
  if (group_ != 0) ::kill(-group_, SIGKILL);
  return result;
}

std::vector<int> TreeStopper::pidfds() const {
  std::vector<int> all{pidfd_};
  for (const auto& descendant : descendants_) all.push_back(descendant.pidfd.get());
  return all;
}

int TreeStopper::first_running_descendant() const noexcept {
  for (const auto& descendant : descendants_) {
    const int fd = descendant.pidfd.get();
    if (!os::has_ended(fd)) return fd;
  }
  return -1;
}

bool TreeStopper::wait_all_ended(os::Deadline deadline) const noexcept {
  if (os::poll_pidfd(pidfd_, -1, deadline) != os::PidfdWait::ended) return false;
  return std::ranges::all_of(descendants_, [&](const Descendant& descendant) {
    return os::poll_pidfd(descendant.pidfd.get(), -1, deadline) == os::PidfdWait::ended;
  });
}

}  // namespace tine::child
