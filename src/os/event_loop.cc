// SPDX-License-Identifier: MIT
#include "os/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/system_error.h"

namespace tine::os {

std::expected<void, Error> EventLoop::prepare() {
  if (epoll_) return {};
  epoll_ = above_stdio(Fd{::epoll_create1(EPOLL_CLOEXEC)});
  if (!epoll_) return failed(Stage::wait, errno, "an event loop");
  note_own(epoll_.get());
  return {};
}

std::expected<void, Error> EventLoop::watch(int fd, std::uint32_t events, Handler handler) {
  return add(fd, events, std::move(handler), false);
}

std::expected<void, Error> EventLoop::watch_once(int fd, std::uint32_t events, Handler handler) {
  return add(fd, events, std::move(handler), true);
}

std::expected<void, Error> EventLoop::add(int fd, std::uint32_t events, Handler handler,
                                          bool once) {
  if (auto ready = prepare(); !ready) return ready;
  const auto index = static_cast<std::size_t>(fd);
  if (by_fd_.size() <= index) by_fd_.resize(index + 1);
  Watched& watched = by_fd_[index];
  epoll_event event{};
  event.events = events | (once ? EPOLLONESHOT : 0u);
  event.data.u64 = (std::uint64_t{watched.generation} << 32) | static_cast<std::uint32_t>(fd);
  int refused = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  // What was watched once is still there, disarmed, while the file is open.
  if (refused != 0 && errno == EEXIST && !watched.active) {
    refused = ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  }
  if (refused != 0) {
    return failed(Stage::wait, errno, "descriptor " + std::to_string(fd));
  }
  watched.handler = std::move(handler);
  watched.active = true;
  watched.once = once;
  return {};
}

void EventLoop::unwatch(int fd) noexcept {
  const auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= by_fd_.size() || !by_fd_[index].active) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  by_fd_[index].active = false;
  ++by_fd_[index].generation;
}

EventLoop::TimerId EventLoop::at(Clock::time_point when, Handler handler) {
  const TimerId id = next_timer_++;
  timers_.emplace(std::pair{when, id}, std::move(handler));
  due_.emplace(id, when);
  return id;
}

void EventLoop::cancel(TimerId timer) noexcept {
  const auto found = due_.find(timer);
  if (found == due_.end()) return;
  timers_.erase({found->second, timer});
  due_.erase(found);
}

void EventLoop::delay_timers(Clock::duration by) {
  decltype(timers_) moved;
  for (auto& [key, handler] : timers_) {
    moved.emplace(std::pair{key.first + by, key.second}, std::move(handler));
    due_[key.second] = key.first + by;
  }
  timers_ = std::move(moved);
}

int EventLoop::wait_limit_ms(std::optional<Clock::time_point> deadline) const {
  if (!timers_paused_ && !timers_.empty() &&
      (!deadline || timers_.begin()->first.first < *deadline)) {
    deadline = timers_.begin()->first.first;
  }
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

void EventLoop::run_due_timers() {
  // One that sets itself anew, for now, has its turn the next time.
  const Clock::time_point now = Clock::now();
  while (!timers_paused_ && !timers_.empty() && timers_.begin()->first.first <= now) {
    auto due = timers_.extract(timers_.begin());
    due_.erase(due.key().second);
    due.mapped()();
  }
}

void EventLoop::run_once(std::optional<Clock::time_point> deadline) {
  if (!prepare()) return run_due_timers();
  epoll_event events[64];
  const int count = ::epoll_wait(epoll_.get(), events, 64, wait_limit_ms(deadline));
  for (int i = 0; i < count; ++i) {
    const auto fd = static_cast<std::size_t>(events[i].data.u64 & 0xffffffffu);
    const auto generation = static_cast<std::uint32_t>(events[i].data.u64 >> 32);
    if (!by_fd_[fd].active || by_fd_[fd].generation != generation) continue;
    if (by_fd_[fd].once) {
      by_fd_[fd].active = false;
      ++by_fd_[fd].generation;
    }
    // A copy: the handler may remove itself, or make by_fd_ grow.
    const Handler handler = by_fd_[fd].handler;
    handler();
  }
  if (!timers_.empty()) run_due_timers();
}

}  // namespace tine::os
