// SPDX-License-Identifier: MIT
#include "child/child_state.h"

#include <sys/ioctl.h>

#include <mutex>

#include "os/own_pid.h"
#include "os/raw_fd.h"
#include "os/signal_mask.h"
#include "os/young_child.h"

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
/// Of this list. What is in another one is not to be touched any more, for all that it points to
/// may be gone.
std::uint32_t list_number = 0;

void begin_new_list() noexcept {
  ++list_number;
  first_handle = nullptr;
}

TINE_YOUNG_CHILD void close_raw(Fd& fd) noexcept {
  if (fd) os::close_raw(fd.release());
}

}  // namespace

ChildState::ChildState() : owner(os::own_pid()), previous_(nullptr) {
  const std::lock_guard lock(handles_mutex);
  list_ = list_number;
  next_ = first_handle;
  if (next_ != nullptr) next_->previous_ = this;
  first_handle = this;
}

ChildState::~ChildState() {
  std::unique_lock lock(handles_mutex, std::defer_lock);
  if (owner == os::own_pid()) {
    lock.lock();
  } else {
    seat.abandon();  // the parent's
    // The thread that has it may not be in this copy of the process: what the list held is lost.
    if (!lock.try_lock()) begin_new_list();
  }
  if (list_ != list_number) return;
  (previous_ != nullptr ? previous_->next_ : first_handle) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

void lock_handles() noexcept { handles_mutex.lock(); }
TINE_YOUNG_CHILD void unlock_handles() noexcept { handles_mutex.unlock(); }

TINE_YOUNG_CHILD void close_inherited_handles() noexcept {
  for (ChildState* state = first_handle; state != nullptr; state = state->next_) {
    close_raw(state->pidfd);
    close_raw(state->reports);
    for (auto& [number, fd] : state->pipes) close_raw(fd);
  }
  begin_new_list();
}

}  // namespace tine::detail
