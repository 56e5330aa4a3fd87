// SPDX-License-Identifier: MIT
#include "command/start.h"

#include <unistd.h>

#include <algorithm>

#include "child/child_state.h"
#include "child/guardian.h"
#include "child/spawn.h"
#include "command/words.h"
#include "os/trace.h"

namespace tine::command {

using child::GroupRole;
using detail::ChildAccess;
using detail::ChildState;

namespace {

/// A program at the terminal stays in its group, or its first read would stop it (SIGTTIN).
GroupRole role_of(const CommandSpec& spec, const Preparation& preparation,
                  const StartOptions& options) {
  if (preparation.plan.new_session) return GroupRole::own;
  if (options.group) return *options.group < 0 ? GroupRole::callers : GroupRole::shared;
  if (spec.process_group == ProcessGroup::callers) return GroupRole::callers;
  const bool own =
      !preparation.shares_terminal || spec.foreground || spec.process_group == ProcessGroup::own;
  return own ? GroupRole::own : GroupRole::callers;
}

void place_in_group(child::SpawnPlan& plan, GroupRole role, const StartOptions& options) {
  plan.set_group = role != GroupRole::callers;
  plan.group = role == GroupRole::shared ? *options.group : 0;
}

std::expected<void, Error> take_seat(ChildState& state, child::SpawnPlan& plan) {
  auto seat = child::reserve_guardian_seat();
  if (!seat) return std::unexpected(seat.error());
  state.seat = std::move(*seat);
  plan.slot = state.seat.slot();
  const bool leads = plan.set_group && plan.group == 0;
  plan.slot->group.store(leads || plan.new_session ? -1 : plan.group);
  return {};
}

void start_clocks(ChildState& state, const CommandSpec& spec, DeadlineBy by) {
  if (spec.timeout.count() <= 0 || by == DeadlineBy::caller) return;
  state.deadline = os::deadline_after(spec.timeout);
  state.seat.set_deadline(spec.timeout, spec.grace);
}

}  // namespace

namespace {

using Spawned = std::expected<child::SpawnedProcess, child::SpawnReport>;

/// All that comes before the clone: what the handle will hold, and the plan completed.
std::expected<std::unique_ptr<ChildState>, Error> before_clone(const CommandSpec& spec,
                                                               const StartOptions& options,
                                                               Preparation& preparation) {
  if (auto done = preparation.prepare(spec, options.defaults); !done) {
    return std::unexpected(done.error());
  }
  auto state = std::make_unique<ChildState>();
  state->role = role_of(spec, preparation, options);
  place_in_group(preparation.plan, state->role, options);
  if (!spec.detach) {
    if (auto seated = take_seat(*state, preparation.plan); !seated) {
      return std::unexpected(seated.error());
    }
  }
  state->detached = spec.detach;
  state->leave_descendants = spec.leave_descendants;
  state->grace = spec.grace;
  state->started = std::chrono::steady_clock::now();
  return state;
}

/// All that comes after it.
std::expected<Child, Error> after_clone(const CommandSpec& spec, const StartOptions& options,
                                        Preparation& preparation, Spawned made,
                                        std::unique_ptr<ChildState> state) {
  if (spec.foreground) {
    state->terminal = child::TerminalLoan(std::move(preparation.foreground_terminal), ::getpgrp());
  }
  if (!made) {
    state->terminal.take_back();
    Error error = explain(made.error(), spec, preparation);
    if (os::tracing()) os::trace("start failed: " + error.to_string());
    return std::unexpected(std::move(error));
  }
  if (os::tracing()) os::trace("start " + std::to_string(made->pid) + ": " + quoted(spec.argv));
  state->pid = made->pid;
  state->pidfd = std::move(made->pidfd);
  state->seat.child_started();
  state->group = preparation.plan.group != 0 ? preparation.plan.group : made->pid;
  state->pipes = std::move(preparation.parent_ends);
  start_clocks(*state, spec, options.deadline);
  return ChildAccess::make(std::move(state));
}

}  // namespace

bool has_pseudo_terminal(const CommandSpec& spec) {
  return std::ranges::any_of(spec.redirects, [](const auto& redirect) {
    return redirect.second.kind == detail::RedirectSpec::Kind::pseudo_terminal;
  });
}

std::expected<Child, Error> start(const CommandSpec& spec, const StartOptions& options) {
  Preparation preparation;
  auto state = before_clone(spec, options, preparation);
  if (!state) return std::unexpected(state.error());
  auto made = child::spawn(preparation.plan,
                           spec.detach ? child::Kinship::detached : child::Kinship::child);
  return after_clone(spec, options, preparation, std::move(made), std::move(*state));
}

std::expected<Child, Error> BackgroundStart::start(const CommandSpec& spec,
                                                   const StartOptions& options) {
  pad_.wait();
  pad_.reset();
  preparation_.reset();
  // A terminal whose other side we still hold when its session ends loses what was written last.
  const bool alone = spec.detach || spec.foreground || has_pseudo_terminal(spec);
  if (alone) return command::start(spec, options);
  preparation_.emplace();
  auto state = before_clone(spec, options, *preparation_);
  if (!state) return std::unexpected(state.error());
  if (!options.only_waits) preparation_->own_environment();
  pad_.plan = preparation_->plan;
  auto made = child::spawn_beside(pad_);
  // A group that others will join has to be there now, whichever side is first.
  if (made && options.leads_group && preparation_->plan.set_group &&
      !preparation_->plan.new_session) {
    ::setpgid(made->pid, made->pid);
  }
  return after_clone(spec, options, *preparation_, std::move(made), std::move(*state));
}

std::optional<Error> BackgroundStart::failure(const CommandSpec& spec) {
  pad_.wait();
  if (pad_.report().errno_value == 0) {
    preparation_.reset();  // and with it the files that were opened for the child
    return std::nullopt;
  }
  Error error = explain(pad_.report(), spec, *preparation_);
  if (os::tracing()) os::trace("start failed: " + error.to_string());
  return error;
}

}  // namespace tine::command
