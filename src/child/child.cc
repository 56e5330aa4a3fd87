// SPDX-License-Identifier: MIT
#include "tine/child.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "child/child_state.h"
#include "child/proxy.h"
#include "child/tree_stopper.h"
#include "os/own_pid.h"
#include "os/pidfd.h"
#include "os/system_error.h"
#include "os/trace.h"
#include "tine/process.h"

namespace tine {

using Clock = std::chrono::steady_clock;
using detail::ChildAccess;
using detail::ChildState;

namespace {

std::string subject_of(const ChildState& state) { return "process " + std::to_string(state.pid); }

std::unexpected<Error> refuse(const ChildState* state, ErrorKind kind, int errno_value = 0) {
  return std::unexpected(
      Error{kind, errno_value, Stage::wait, state ? subject_of(*state) : "no child", {}});
}

/// Whether anything can be asked of this handle here.
std::expected<void, Error> usable(const ChildState* state) {
  if (state == nullptr) return refuse(state, ErrorKind::no_such_process);
  if (state->owner != os::own_pid()) return refuse(state, ErrorKind::not_owner);
  return {};
}

/// The shell's view of a foreground child that was stopped by ^Z: the terminal comes back, we stop
/// as well, and when we are continued it gets the terminal and goes on.
void pass_stop_on(ChildState& state) {
  state.terminal.take_back();
  ::raise(SIGSTOP);
  state.terminal.lend_to(state.group);
  ::kill(-state.group, SIGCONT);  // ^Z has stopped all of its group, not the leader alone
}

/// Waits for the end of a child that may also stop. Only for foreground children, whose owner has
/// nothing else to do meanwhile.
void wait_in_foreground(ChildState& state) {
  for (;;) {
    siginfo_t info{};
    const auto id = static_cast<id_t>(state.pidfd.get());
    if (::waitid(P_PIDFD, id, &info, WEXITED | WSTOPPED | WNOWAIT) != 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (info.si_code != CLD_STOPPED) return;
    ::waitid(P_PIDFD, id, &info, WSTOPPED | WNOHANG);
    pass_stop_on(state);
  }
}

enum class Ended : unsigned char { yes, limit, deadline, cancelled };

/// With a limit there may be no time for the grace that follows a deadline: then the guardian,
/// which watches it as well, ends the child.
Ended wait_for_end(ChildState& state, os::Deadline limit, const CancelToken& token) {
  if (!limit && !state.deadline && token.fd() < 0 && state.is_ours_to_reap()) {
    // Nothing else to wait for: cheaper than poll. An error is met again, and told, by the reaping.
    [[maybe_unused]] const auto seen = os::wait_pidfd(state.pidfd.get(), os::Reap::keep, true);
    return Ended::yes;
  }
  const bool guarded = state.seat.slot() != nullptr;
  const bool ends_it = state.deadline && !(limit && guarded);
  os::Deadline until = limit;
  if (ends_it && (!until || *state.deadline < *until)) until = state.deadline;
  const auto seen = os::poll_pidfd(state.pidfd.get(), token.fd(), until);
  if (seen == os::PidfdWait::ended) return Ended::yes;
  if (seen == os::PidfdWait::other_readable) return Ended::cancelled;
  if (limit && until == limit) return Ended::limit;
  state.deadline.reset();
  return Ended::deadline;
}

/// What is left in the group of this child, which is a zombie, goes before it is reaped.
void kill_leftovers(ChildState& state) noexcept {
  if (state.reports) return;  // whoever reaps it has done so
  if (auto shared = std::exchange(state.shared_group, nullptr)) {
    const bool last = shared->unreaped.fetch_sub(1) == 1;
    // This zombie keeps the group's number from being recycled.
    if (last && !shared->leave_descendants) ::kill(-state.group, SIGKILL);
  } else if (state.killable_group() != 0 && !state.leave_descendants) {
    os::kill_group(state.pidfd.get(), state.group);
  }
}

Usage wall_since(Usage usage, Clock::time_point started) {
  usage.wall = Clock::now() - started;
  return usage;
}

/// A status that our own wait cannot give: another wait() took it, or we never were the parent.
std::expected<Finished, Error> status_from_elsewhere(ChildState& state, int errno_value) {
  constexpr auto kForItsReaper = std::chrono::seconds(1);
  if (state.reports) {
    auto told = child::told_end(state.reports.get());
    state.reports.reset();
    if (told) return Finished{told->status, wall_since(told->usage, state.started)};
  }
  if (const auto status = os::zombie_status(state.pidfd.get(), state.pid)) {
    return Finished{*status, wall_since({}, state.started)};
  }
  if (const auto status = os::exit_info(state.pidfd.get(), kForItsReaper)) {
    return Finished{*status, wall_since({}, state.started)};
  }
  return refuse(&state, ErrorKind::reaped_elsewhere, errno_value);
}

}  // namespace

Child detail::ChildAccess::make(std::unique_ptr<ChildState> state) noexcept {
  Child child;
  child.state_ = std::move(state);
  return child;
}

namespace {

using Taken = std::expected<std::optional<os::Reaped>, int>;

/// The books of a child that is gone.
std::expected<Finished, Error> conclude(ChildState& state, const Taken& taken) {
  std::expected<Finished, Error> result =
      taken ? Finished{(*taken)->status, wall_since((*taken)->usage, state.started)}
            : status_from_elsewhere(state, taken.error());
  if (state.seat.guardian_has_acted()) state.timed_out = true;
  state.seat.release();
  state.terminal.take_back();
  state.terminal = {};
  {
    const std::lock_guard lock(state.sending);
    state.pidfd.reset();
  }
  if (result) state.finished = *result;
  if (os::tracing()) {
    os::trace("end " + std::to_string(state.pid) + ": " +
              (result
                   ? result->status.to_string() + " after " + os::duration_text(result->usage.wall)
                   : result.error().to_string()));
  }
  return result;
}

/// Waits and reaps in one. Nothing has to be done in between: no deadline makes the guardian a
/// party, which on the host's death knows a recycled pid by its start, and the group has a name of
/// its own.
std::expected<Finished, Error> wait_and_reap(ChildState& state) {
  const auto taken = os::wait_pidfd(state.pidfd.get(), os::Reap::take, true);
  kill_leftovers(state);
  state.seat.clear();
  return conclude(state, taken);
}

bool may_reap_at_once(const ChildState& state) noexcept {
  const child::GuardianSlot* slot = state.seat.slot();
  const bool guardian_may_act = slot != nullptr && slot->deadline.load() != 0;
  return !guardian_may_act && state.is_ours_to_reap() && !state.shared_group &&
         os::groups_have_pidfds();
}

}  // namespace

std::expected<Finished, Error> detail::ChildAccess::reap(ChildState& state) {
  kill_leftovers(state);
  state.seat.clear();
  if (!state.is_ours_to_reap()) return conclude(state, std::unexpected(ECHILD));
  return conclude(state, os::wait_pidfd(state.pidfd.get(), os::Reap::take, true));
}

std::unexpected<Error> detail::ChildAccess::abandon(ChildState& state) {
  auto refusal = refuse(&state, ErrorKind::timed_out);
  state.seat.abandon();
  state.terminal.take_back();
  state.terminal = {};
  const std::lock_guard lock(state.sending);
  state.pidfd.reset();
  return refusal;
}

Child::Child() noexcept = default;
Child::Child(Child&&) noexcept = default;

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    Child old;
    old.state_ = std::move(state_);
    state_ = std::move(other.state_);
  }
  return *this;
}

Child::~Child() {
  if (!state_ || state_->owner != os::own_pid() || state_->detached || !state_->pidfd) return;
  // Nobody is left to hear of an error; what KILL could not end stays on the guardian's list.
  if (const auto ended = terminate(); !ended && state_->pidfd) ChildAccess::abandon(*state_);
}

pid_t Child::pid() const noexcept { return state_ ? state_->pid : 0; }
int Child::fd() const noexcept { return state_ ? state_->pidfd.get() : -1; }
bool Child::timed_out() const noexcept { return state_ && state_->timed_out; }

const std::optional<Finished>& Child::finished() const noexcept {
  static const std::optional<Finished> none;
  return state_ ? state_->finished : none;
}

Fd& Child::pipe(int number) noexcept {
  static thread_local Fd none;
  if (state_) {
    for (auto& [target, fd] : state_->pipes) {
      if (target == number) return fd;
    }
  }
  none.reset();
  return none;
}

std::expected<void, Error> Child::send(Signal sig) const noexcept {
  if (auto ready = usable(state_.get()); !ready) return ready;
  const std::lock_guard lock(state_->sending);
  if (!state_->pidfd) return os::failed(Stage::send, ESRCH, subject_of(*state_));
  const int error = os::send_signal(state_->pidfd.get(), static_cast<int>(sig));
  if (error != 0) return os::failed(Stage::send, error, subject_of(*state_));
  return {};
}

std::expected<void, Error> Child::send_tree(Signal sig) const {
  if (auto ready = usable(state_.get()); !ready) return ready;
  if (!state_->pidfd) return os::failed(Stage::send, ESRCH, subject_of(*state_));
  child::TreeStopper tree(state_->pid, state_->pidfd.get(), state_->killable_group());
  const int error = sig == Signal::kill ? tree.kill() : tree.signal(static_cast<int>(sig));
  if (error != 0) return os::failed(Stage::send, error, subject_of(*state_));
  return {};
}

std::expected<Finished, Error> Child::wait(const CancelToken& token) {
  for (;;) {
    auto done = wait_for(std::chrono::nanoseconds::max(), token);
    if (!done) return std::unexpected(done.error());
    if (*done) return **done;
  }
}

std::expected<std::optional<Finished>, Error> Child::wait_for(std::chrono::nanoseconds limit,
                                                              const CancelToken& token) {
  if (auto ready = usable(state_.get()); !ready) return std::unexpected(ready.error());
  if (state_->finished) return state_->finished;
  if (!state_->pidfd) return refuse(state_.get(), ErrorKind::reaped_elsewhere, ECHILD);
  child::revive_guardian();
  const bool for_ever = limit == std::chrono::nanoseconds::max();
  if (state_->terminal && for_ever && token.fd() < 0) wait_in_foreground(*state_);
  if (for_ever && token.fd() < 0 && may_reap_at_once(*state_)) return wait_and_reap(*state_);
  const os::Deadline until = for_ever ? os::Deadline{} : os::deadline_after(limit);
  switch (wait_for_end(*state_, until, token)) {
    case Ended::cancelled: return refuse(state_.get(), ErrorKind::cancelled);
    case Ended::yes: return ChildAccess::reap(*state_);
    case Ended::limit: return std::nullopt;
    case Ended::deadline: break;
  }
  if (!state_->seat.claim_timeout()) return wait_for(limit, token);  // the guardian was first
  state_->timed_out = true;
  return terminate();
}

std::expected<Finished, Error> Child::terminate() {
  return terminate(state_ ? state_->grace : std::chrono::milliseconds(0));
}

std::expected<Finished, Error> Child::terminate(std::chrono::milliseconds grace) {
  const StopStep step{Signal::terminate, grace};
  return terminate(std::span(&step, 1));
}

std::expected<Finished, Error> Child::terminate(std::span<const StopStep> steps) {
  if (auto ready = usable(state_.get()); !ready) return std::unexpected(ready.error());
  if (state_->finished) return *state_->finished;
  if (!state_->pidfd) return refuse(state_.get(), ErrorKind::reaped_elsewhere, ECHILD);
  if (os::has_ended(state_->pidfd.get())) return ChildAccess::reap(*state_);
  child::TreeStopper tree(state_->pid, state_->pidfd.get(), state_->killable_group());
  bool ended = false;
  for (const auto& step : steps) {
    if (ended) break;
    tree.signal(static_cast<int>(step.signal));
    ended = tree.wait_all_ended(Clock::now() + step.pause);
  }
  if (!ended) tree.kill();
  constexpr auto kAfterKill = std::chrono::seconds(1);
  if (os::poll_pidfd(state_->pidfd.get(), -1, Clock::now() + kAfterKill) != os::PidfdWait::ended) {
    return refuse(state_.get(), ErrorKind::timed_out);
  }
  return ChildAccess::reap(*state_);
}

std::expected<Usage, Error> Child::usage() const {
  if (auto ready = usable(state_.get()); !ready) return std::unexpected(ready.error());
  if (state_->finished) return state_->finished->usage;
  auto info = process_info(state_->pid);
  if (!info) return std::unexpected(info.error());
  Usage usage;
  usage.wall = Clock::now() - state_->started;
  usage.user = info->user;
  usage.sys = info->sys;
  usage.max_rss = info->resident;
  return usage;
}

}  // namespace tine
