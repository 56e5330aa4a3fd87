// SPDX-License-Identifier: MIT
#include "child/child_state.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <mutex>

#include "os/own_pid.h"
#include "os/signal_mask.h"

namespace tine::child {

void TerminalLoan::lend_to(pid_t group) const noexcept {
  if (!terminal_) return;
  const os::AllSignalsBlocked blocked;  // with SIGTTOU blocked a background process may do this
  ::ioctl(terminal_.get(), TIOCSPGRP, &group);
}

}  // namespace tine::child

namespace tine::detail {
namespace {

std::mutex handles_mutex;
ChildState* first_handle = nullptr;

}  // namespace

ChildState::ChildState() : owner(os::own_pid()), previous_(nullptr) {
  const std::lock_guard lock(handles_mutex);
  next_ = first_handle;
  if (next_ != nullptr) next_->previous_ = this;
  first_handle = this;
}

ChildState::~ChildState() {
  if (owner != os::own_pid()) {
    seat.abandon();  // the parent's
    return;          // and so is the list
  }
  const std::lock_guard lock(handles_mutex);
  (previous_ != nullptr ? previous_->next_ : first_handle) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

void lock_handles() noexcept { handles_mutex.lock(); }
void unlock_handles() noexcept { handles_mutex.unlock(); }

void close_inherited_handles() noexcept {
  for (ChildState* state = first_handle; state != nullptr; state = state->next_) {
    state->pidfd.reset();
    state->reports.reset();
    for (auto& [number, fd] : state->pipes) fd.reset();
  }
  first_handle = nullptr;
}

}  // namespace tine::detail
