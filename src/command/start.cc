// SPDX-License-Identifier: MIT
#include "command/start.h"

#include <unistd.h>

#include "child/child_state.h"
#include "child/guardian.h"
#include "child/spawn.h"

namespace tine::command {

using child::GroupRole;
using detail::ChildAccess;
using detail::ChildState;

namespace {

/// A program at the terminal stays in its group, or its first read would stop it (SIGTTIN).
GroupRole role_of(const CommandSpec& spec, const Preparation& preparation,
                  const StartOptions& options) {
  if (options.group) return *options.group < 0 ? GroupRole::callers : GroupRole::shared;
  const bool own = !preparation.shares_terminal || spec.foreground || preparation.plan.new_session;
  return own ? GroupRole::own : GroupRole::callers;
}

void place_in_group(child::SpawnPlan& plan, GroupRole role, const StartOptions& options) {
  plan.set_group = role != GroupRole::callers;
  plan.group = options.group && *options.group > 0 ? *options.group : 0;
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
  state.deadline = state.started + spec.timeout;
  if (state.seat.slot() != nullptr) {
    child::set_deadline(*state.seat.slot(), spec.timeout, spec.grace);
  }
}

}  // namespace

std::expected<Child, Error> start(const CommandSpec& spec, const StartOptions& options) {
  Preparation preparation;
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
  const pid_t lender = spec.foreground ? ::getpgrp() : 0;
  state->started = std::chrono::steady_clock::now();
  auto made = child::spawn(preparation.plan, spec.detach ? child::Kinship::detached
                                                         : child::Kinship::child);
  if (spec.foreground) {
    state->terminal = child::TerminalLoan(std::move(preparation.foreground_terminal), lender);
  }
  if (!made) {
    state->terminal.take_back();
    return std::unexpected(explain(made.error(), spec, preparation));
  }
  state->pid = made->pid;
  state->pidfd = std::move(made->pidfd);
  state->group = preparation.plan.group != 0 ? preparation.plan.group : made->pid;
  state->detached = spec.detach;
  state->leave_descendants = spec.leave_descendants;
  state->grace = spec.grace;
  state->pipes = std::move(preparation.parent_ends);
  start_clocks(*state, spec, options.deadline);
  return ChildAccess::make(std::move(state));
}

}  // namespace tine::command
