// SPDX-License-Identifier: MIT
#include "work/worker_seat.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "os/own_pid.h"
#include "work/symbolise.h"

namespace tine::work {

void WorkerSeat::occupy() noexcept {
  started_ = std::chrono::steady_clock::now();
  last_pid_ = os::own_pid();
  arena_used_ = records_end().value_or(arena_used_);
  // What the last worker has left in its range has been taken from it.
  std::destroy_at(&slot_);
  std::construct_at(&slot_);
  slot_.written.store(arena_used_, std::memory_order_relaxed);
  ended_item_.reset();
}

std::expected<void, Error> WorkerSeat::start(const MapOptions& options,
                                             const std::function<int()>& main) {
  occupy();
  const WorkerProcess::How how{.grace = options.grace,
                               .name = options.name,
                               .threads = options.threads,
                               .core = options.core_dump ? CoreDump::yes : CoreDump::no,
                               .memory = options.memory};
  auto started = process_.start(how, slot_.crash, main);
  if (started) last_pid_ = process_.pid();
  return started;
}

std::optional<std::size_t> WorkerSeat::records_end() const noexcept {
  const std::size_t written = slot_.written.load(std::memory_order_acquire);
  if (written < arena_used_ || written > arena_.size()) return std::nullopt;
  return written;
}

void WorkerSeat::end(Ending why, std::optional<std::uint32_t> item) {
  if (ending() != Ending::none || !is_alive()) return;
  ended_item_ = item;
  slot_.interrupted.fetch_or(kStop, std::memory_order_acq_rel);
  process_.end(why, slot_.crash);
}

std::string subject_of(const MapOptions& options) {
  return options.name.empty() ? "a function" : options.name;
}

/// Where it crashed, or was stuck, or why that is unknown.
void WorkerSeat::add_place(Failure& failure) const {
  if (ending() == Ending::timed_out) {
    if (process_.where()) tell_where(failure, process_.where()->addresses());
    failure.message = process_.no_answer();
  } else if (const auto crash = read_crash(slot_.crash)) {
    tell_where(failure, crash->addresses());
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
  if (ending() == Ending::timed_out) {
    made.cause = Cause::timed_out;
    if (options.timeout.count() > 0) made.elapsed = options.timeout;
  }
  if (ending() == Ending::cancelled) made.cause = Cause::cancelled;
  if (ending() == Ending::out_of_memory) {
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
