// SPDX-License-Identifier: MIT
#pragma once

/// One wait for many things: descriptors and points in time, with a handler for each.
///
/// Threads: one. Handlers run inside run_once() and may add and remove anything, themselves too.
/// Source: epoll(7)

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tine/error.h"
#include "tine/fd.h"

namespace tine::os {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Handler = std::function<void()>;
  using TimerId = std::uint64_t;

  /// Calls `handler` whenever `fd` is ready for `events` (EPOLLIN, EPOLLOUT), hung up or failed.
  /// Errors: not_permitted: a regular file, always ready; too_many_files.
  std::expected<void, Error> watch(int fd, std::uint32_t events, Handler handler);
  /// The same for one event, after which the fd is no longer watched: one system call less than to
  /// stop by hand.
  std::expected<void, Error> watch_once(int fd, std::uint32_t events, Handler handler);
  /// Before the fd is closed: a number that is used again must not reach the old handler.
  void unwatch(int fd) noexcept;

  TimerId at(Clock::time_point when, Handler handler);
  void cancel(TimerId timer) noexcept;
  /// While paused no timer is due.
  void pause_timers(bool paused) noexcept { timers_paused_ = paused; }
  /// Moves all timers: for time that does not count, such as a suspension.
  void delay_timers(Clock::duration by);

  /// Waits for at least one event or timer, at most until `deadline`, and runs its handlers.
  void run_once(std::optional<Clock::time_point> deadline = {});

 private:
  struct Watched {
    Handler handler;
    std::uint32_t generation = 0;  ///< tells a stale event from one of the fd's next life
    bool active = false;
    bool once = false;
  };

  std::expected<void, Error> prepare();
  std::expected<void, Error> add(int fd, std::uint32_t events, Handler handler, bool once);
  [[nodiscard]] int wait_limit_ms(std::optional<Clock::time_point> deadline) const;
  void run_due_timers();

  Fd epoll_;
  std::vector<Watched> by_fd_;
  std::map<std::pair<Clock::time_point, TimerId>, Handler> timers_;
  std::unordered_map<TimerId, Clock::time_point> due_;
  TimerId next_timer_ = 1;
  bool timers_paused_ = false;
};

}  // namespace tine::os
