// SPDX-License-Identifier: MIT
#include "cli/interruptions.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

#include "cli/signals.h"

namespace tine::cli {

std::expected<void, Error> Interruptions::open() {
  sigset_t mask = block_signals();
  sigdelset(&mask, SIGCHLD);  // the supervisor's alone
  signals_.reset(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (signals_) return {};
  return std::unexpected(Error{.errno_value = errno, .stage = Stage::open, .subject = "signals"});
}

std::expected<void, Error> Interruptions::attach(Batch& batch) {
  batch_ = &batch;
  if (hung_up_) batch.stop_starting();
  auto done = batch.watch(signals_.get(), [this] { hear_signals(); });
  if (!done) return done;
  return batch.watch(supervisor_.get(), [this] { hear_death_of_supervisor(); });
}

void Interruptions::hear_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    hear(static_cast<int>(info.ssi_signo));
  }
}

void Interruptions::hear(int signal) {
  switch (signal) {
    case SIGHUP:
      hung_up_ = true;
      if (batch_ != nullptr) batch_->stop_starting();
      break;
    case SIGUSR1:
      if (batch_ != nullptr) list_running_(*batch_);
      break;
    case SIGTSTP:
      if (batch_ != nullptr) batch_->suspend();
      ::raise(SIGSTOP);
      if (batch_ != nullptr) batch_->resume();
      break;
    default: end_by(signal);
  }
}

/// Again, later: no more patience. At once: the same one, sent to our whole group and so passed on
/// by the supervisor as well.
void Interruptions::end_by(int signal) {
  constexpr auto kSameOne = std::chrono::milliseconds(100);
  const auto now = Clock::now();
  const bool again = ended_by_ != 0 && now - ended_at_ > kSameOne;
  ended_by_ = signal;
  ended_at_ = now;
  if (batch_ == nullptr) return;
  if (again) {
    batch_->kill_all();
  } else {
    batch_->end_all();
  }
}

void Interruptions::hear_death_of_supervisor() {
  supervisor_died_ = true;
  if (batch_ == nullptr) return;
  batch_->unwatch(supervisor_.get());
  batch_->kill_all();
}

/// Whether `fd` is ready; false also when something else was heard.
bool Interruptions::wait_once(int fd, short events) {
  pollfd watched[] = {{fd, events, 0}, {signals_.get(), POLLIN, 0}, {supervisor_.get(), POLLIN, 0}};
  ::poll(watched, std::size(watched), -1);
  if (watched[0].revents != 0) return true;
  if (watched[1].revents != 0) hear_signals();
  if (watched[2].revents != 0) hear_death_of_supervisor();
  return false;
}

bool Interruptions::wait_to_read(int fd) {
  while (!is_ending() && !hung_up_) {
    if (wait_once(fd, POLLIN)) return true;
  }
  return false;
}

bool Interruptions::wait_to_write(int fd) {
  while (!is_ending()) {
    if (wait_once(fd, POLLOUT)) return true;
  }
  constexpr int kLastCallMs = 100;
  pollfd last_call{fd, POLLOUT, 0};
  return ::poll(&last_call, 1, kLastCallMs) > 0;
}

}  // namespace tine::cli
