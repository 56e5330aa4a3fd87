// SPDX-License-Identifier: MIT
#include "cli/progress_line.h"

#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <string>

namespace tine::cli {

namespace {

std::size_t terminal_width() {
  constexpr std::size_t kUsual = 80;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsual;
  return size.ws_col;
}

/// Progress is news, not data: a stderr that refuses it, or is full, stops nothing.
void tell(const std::string& text) {
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&room, 1, 0) <= 0) return;
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Without one the line moves when a job ends, and that is all.
Fd half_second_timer() {
  constexpr itimerspec kHalfSecond{.it_interval = {.tv_sec = 0, .tv_nsec = 500'000'000},
                                   .it_value = {.tv_sec = 0, .tv_nsec = 500'000'000}};
  Fd timer{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  if (timer && ::timerfd_settime(timer.get(), 0, &kHalfSecond, nullptr) != 0) timer.reset();
  return timer;
}

}  // namespace

ProgressLine::ProgressLine(bool wanted)
    : wanted_(wanted), terminal_(::isatty(STDERR_FILENO) == 1), last_(Clock::now()) {
  if (wanted_ && terminal_) timer_ = half_second_timer();
}

void ProgressLine::tick(const report::Progress& progress) {
  std::uint64_t periods = 0;
  if (::read(timer_.get(), &periods, sizeof periods) == sizeof periods) update(progress);
}

void ProgressLine::draw(const report::Progress& progress, Clock::time_point now) {
  last_ = now;
  if (terminal_) {
    tell("\r" + progress.line(now, terminal_width() - 1) + "\033[K");
    visible_ = true;
  } else {
    tell(progress.line(now, 200) + "\n");
  }
}

void ProgressLine::update(const report::Progress& progress) {
  if (!wanted_) return;
  constexpr auto kOnTerminal = std::chrono::milliseconds(100);
  constexpr auto kInLog = std::chrono::seconds(10);
  const auto now = Clock::now();
  if (now - last_ < (terminal_ ? Clock::duration(kOnTerminal) : Clock::duration(kInLog))) return;
  draw(progress, now);
}

void ProgressLine::hide() {
  if (!visible_) return;
  tell("\r\033[K");
  visible_ = false;
}

void ProgressLine::finish(const report::Progress& progress) {
  if (!wanted_) return;
  draw(progress, Clock::now());
  if (terminal_) tell("\n");
  visible_ = false;
}

}  // namespace tine::cli
