// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

#include "os/event_loop.h"
#include "os/pidfd.h"
#include "tine/error.h"

namespace tine::command {

/// The system has no room for one more now; it will have as jobs end.
inline bool is_shortage(const Error& error) noexcept {
  return error.kind == ErrorKind::too_many_processes || error.kind == ErrorKind::too_many_files ||
         error.kind == ErrorKind::out_of_memory;
}

/// Whether one more job may start now: how many run, and how long ago the last one started.
class StartGate {
 public:
  /// At most `jobs` at once, starts at least `delay` apart. Requires: `loop` outlives it.
  StartGate(os::EventLoop& loop, std::size_t jobs, std::chrono::nanoseconds delay)
      : loop_(loop), delay_(delay), wanted_(jobs), most_(jobs) {}

  /// Where only the delay is in the way, a timer wakes the loop when it has passed.
  bool is_open(std::size_t running) {
    if (running >= most_) return false;
    if (delay_.count() == 0 || os::EventLoop::Clock::now() >= next_start_) return true;
    if (!timer_set_) {
      timer_set_ = true;
      loop_.at(next_start_, [this] { timer_set_ = false; });
    }
    return false;
  }
  void one_starts() {
    if (delay_.count() > 0) next_start_ = os::deadline_after(delay_);
  }

  /// The system refuses more than `running`.
  void narrow(std::size_t running) noexcept { most_ = running; }
  /// A job has succeeded: shortages pass.
  void widen() noexcept { most_ += most_ < wanted_ ? 1 : 0; }

 private:
  os::EventLoop& loop_;
  std::chrono::nanoseconds delay_;
  os::EventLoop::Clock::time_point next_start_{};
  bool timer_set_ = false;
  std::size_t wanted_;
  std::size_t most_;
};

}  // namespace tine::command
