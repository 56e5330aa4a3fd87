// SPDX-License-Identifier: MIT
#include "work/worker_seat.h"

#include <signal.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "child/child_state.h"
#include "os/own_pid.h"
#include "tine/launch.h"
#include "work/memory_limit.h"
#include "work/symbolise.h"

namespace tine::work {

using detail::ChildAccess;

void WorkerSeat::occupy() noexcept {
  started_ = std::chrono::steady_clock::now();
  last_pid_ = os::own_pid();
  arena_used_ = records_end().value_or(arena_used_);
  // What the last worker has left in its range has been taken from it.
  std::destroy_at(&slot_);
  std::construct_at(&slot_);
  slot_.written.store(arena_used_, std::memory_order_relaxed);
  ending_ = Ending::none;
  ended_item_.reset();
  where_.clear();
  no_answer_.clear();
}

std::expected<void, Error> WorkerSeat::start(const MapOptions& options,
                                             const std::function<int()>& main) {
  occupy();
  auto errors = ChildErrors::create();
  if (!errors) return std::unexpected(errors.error());
  errors_ = std::move(*errors);

  const LaunchOptions how{.grace = options.grace, .name = options.name, .threads = options.threads};
  const auto core = options.core_dump ? CoreDump::yes : CoreDump::no;
  auto child = detail::launch_body(how, [&] {
    install_crash_handlers(slot_.crash, core);
    errors_->become_stderr();
    if (options.memory > 0) limit_memory(options.memory);
    return main();
  });
  if (!child) return std::unexpected(child.error());
  errors_->keep_from_later_children();
  child_ = std::move(*child);
  last_pid_ = child_.pid();
  memory_.begin(last_pid_, options.memory);
  return {};
}

std::optional<std::size_t> WorkerSeat::records_end() const noexcept {
  const std::size_t written = slot_.written.load(std::memory_order_acquire);
  if (written < arena_used_ || written > arena_.size()) return std::nullopt;
  return written;
}

std::uint64_t WorkerSeat::items_done() const noexcept {
  std::uint64_t items = 0;
  const std::size_t used =
      std::min<std::size_t>(slot_.runs_used.load(std::memory_order_acquire), kMostRuns);
  for (std::size_t i = 0; i < used; ++i) {
    const Run& run = slot_.runs[i];
    items += run.done.load(std::memory_order_relaxed) - run.begin.load(std::memory_order_relaxed);
  }
  return items;
}

std::string WorkerSeat::errors_between(std::uint64_t from, std::uint64_t until) const {
  return errors_ ? errors_->tail(static_cast<off_t>(from), static_cast<off_t>(until)) : "";
}

std::string WorkerSeat::errors_since(std::uint64_t from) const {
  return errors_ ? errors_->tail(static_cast<off_t>(from), errors_->written()) : "";
}

void WorkerSeat::pass_on_errors() noexcept {
  if (errors_ && is_alive()) errors_->pass_on();
}

std::optional<std::uint32_t> WorkerSeat::current_item(std::uint32_t item_count) const noexcept {
  Run* const run = slot_.current_run();
  if (run == nullptr) return std::nullopt;
  const std::uint64_t done = run->done.load(std::memory_order_acquire);
  const std::uint64_t limit = slot_.limit.load(std::memory_order_acquire);
  if (done >= limit || done >= item_count) return std::nullopt;
  return static_cast<std::uint32_t>(done);
}

void WorkerSeat::end(Ending why, std::optional<std::uint32_t> item) {
  if (ending_ != Ending::none || !is_alive()) return;
  ending_ = why;
  ended_item_ = item;
  slot_.interrupted.fetch_or(kStop, std::memory_order_acq_rel);
  if (why == Ending::timed_out) {
    if (const auto place = ask_where(child_.fd(), slot_.crash)) {
      where_ = backtrace_text(place->addresses());
    } else {
      no_answer_ = no_answer_text(child_.pid());
    }
  }
  auto& state = ChildAccess::state(child_);
  tree_.emplace(state.pid, state.pidfd.get(), state.killable_group());
  tree_->signal(SIGTERM);
}

void WorkerSeat::kill() {
  if (!is_alive()) return;
  if (!tree_) {
    auto& state = ChildAccess::state(child_);
    tree_.emplace(state.pid, state.pidfd.get(), state.killable_group());
  }
  tree_->kill();
}

std::expected<Finished, Error> WorkerSeat::leave() {
  if (tree_) tree_->kill();  // what it has left of its tree
  tree_.reset();
  auto finished =
      ending_ == Ending::none ? child_.wait() : child_.terminate(std::span<const StopStep>{});
  errors_->pass_on();
  child_ = Child{};
  return finished;
}

std::string subject_of(const MapOptions& options) {
  return options.name.empty() ? "a function" : options.name;
}

/// Where it crashed, or was stuck, or why that is unknown.
void WorkerSeat::add_place(Failure& failure) const {
  if (ending_ == Ending::timed_out) {
    failure.backtrace = where_;
    failure.message = no_answer_;
  } else if (const auto crash = read_crash(slot_.crash)) {
    failure.backtrace = backtrace_text(crash->addresses());
  }
}

/// It said nothing: its end has to speak for it.
Failure WorkerSeat::failure(const std::expected<Finished, Error>& finished,
                            const MapOptions& options) const {
  Failure made;
  made.subject = subject_of(options);
  made.stderr_tail = errors_since(slot_.errors_at_batch.load(std::memory_order_relaxed));
  if (finished) {
    made.status = finished->status;
    made.usage = finished->usage;
    made.elapsed = finished->usage.wall;
    made.cause = finished->status.signal() ? Cause::signaled : Cause::exited;
  } else {
    made.error = finished.error();
  }
  if (ending_ == Ending::timed_out) {
    made.cause = Cause::timed_out;
    if (options.timeout.count() > 0) made.elapsed = options.timeout;
  }
  if (ending_ == Ending::cancelled) made.cause = Cause::cancelled;
  if (ending_ == Ending::out_of_memory) {
    made.cause = Cause::out_of_memory;
    made.message = kMemoryExceeded;
  }
  if (slot_.stage.load(std::memory_order_acquire) == WorkerStage::out_of_memory) {
    made.cause = Cause::out_of_memory;
  }
  if (made.cause == Cause::exited) made.message = "it ended by exit instead of returning";
  if (made.cause == Cause::signaled || made.cause == Cause::timed_out) add_place(made);
  return made;
}

}  // namespace tine::work
