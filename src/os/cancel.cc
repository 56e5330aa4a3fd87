// SPDX-License-Identifier: MIT
#include "tine/cancel.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>
#include <utility>

#include "os/own_pid.h"
#include "tine/fd.h"

namespace tine {

struct detail::CancelState {
  Fd event;
  pid_t owner = os::own_pid();
  std::atomic<bool> fired{false};
};

CancelToken::CancelToken(std::shared_ptr<detail::CancelState> state) noexcept
    : state_(std::move(state)) {}

bool CancelToken::cancelled() const noexcept {
  return state_ && state_->fired.load(std::memory_order_acquire);
}

int CancelToken::fd() const noexcept { return state_ ? state_->event.get() : -1; }

CancelSource::CancelSource() : state_(std::make_shared<detail::CancelState>()) {
  state_->event.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state_->event) throw std::bad_alloc();
}

void CancelSource::cancel() noexcept {
  state_->fired.store(true, std::memory_order_release);
  if (state_->owner != os::own_pid()) return;  // a forked copy: the eventfd is also the original's
  const int saved = errno;                     // this may be a signal handler
  const std::uint64_t one = 1;
  // The only way to fail is a counter that is full, and then it is readable already.
  [[maybe_unused]] const auto written = ::write(state_->event.get(), &one, sizeof one);
  errno = saved;
}

CancelToken CancelSource::token() const noexcept { return CancelToken(state_); }

}  // namespace tine
