// SPDX-License-Identifier: MIT

/// What a pool's host does about a task that has been submitted: waits for it, gives its outcome,
/// cancels it, has its end told to others, and lets go of it.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "os/life_word.h"
#include "os/message.h"
#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/relax.h"
#include "tine/codec.h"
#include "work/failure_note.h"
#include "work/modules.h"
#include "work/pool_core.h"

namespace tine::detail {

using namespace std::chrono_literals;
using work::ResultKind;
using work::TaskSlot;
using work::TaskState;
using work::TaskWord;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kSpin = 20us;

}  // namespace

/// Whether a worker that is awake could be getting on while we wait.
bool PoolCore::has_a_cpu_alone() const noexcept {
  const std::uint16_t cpu = work::current_cpu();
  for (std::size_t i = 0; i < used_seats().size(); ++i) {
    const std::uint16_t its = table_.worker_cpu[i].load(std::memory_order_relaxed);
    if (its != 0 && its != cpu && !table_.parked.contains(i)) return true;
  }
  return false;
}

/// Only while there is a CPU for each that is awake. Whoever has been woken for it may want ours: a
/// CPU that sleeps takes 50 us to wake up, a switch takes 3.
bool PoolCore::spin(const TaskSlot& task) const noexcept {
  if (rang_.load(std::memory_order_relaxed)) return false;
  const std::size_t alive = table_.alive.load(std::memory_order_relaxed);
  if (alive == 0 || alive - std::min(alive, table_.parked.count()) + 1 > table_.cpus) return false;
  if (!has_a_cpu_alone()) return false;
  Clock::time_point until{};
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      if (task.load().finished()) return true;
      os::relax();
    }
    const auto now = Clock::now();
    if (until == Clock::time_point{}) until = now + kSpin;
    if (now >= until) return false;
  }
}

bool PoolCore::wait_until(std::uint32_t slot, os::Deadline deadline) {
  if (!is_owner()) return true;
  if (!wait_here(slot, deadline)) return false;
  const auto next = moved_to(slot);
  return !next || next->core->wait_until(next->slot, deadline);
}

bool PoolCore::wait_here(std::uint32_t slot, os::Deadline deadline) noexcept {
  TaskSlot& task = memory_->slots()[slot];
  if (task.load().finished()) return true;
  if (deadline != Clock::time_point{} && spin(task)) return true;
  const auto limit = deadline.value_or(os::deadline_after(std::chrono::nanoseconds::max()));
  for (;;) {
    if (has_lost_keeper()) settle(slot);
    std::uint32_t seen = task.word.load(std::memory_order_acquire);
    if (TaskWord::unpack(seen).finished()) return true;
    if (Clock::now() >= limit) return false;
    const std::uint32_t awaited = seen | TaskWord::kAwaited;
    work::store_if_new<std::uint32_t>(table_.host_cpu, work::current_cpu());
    if (seen != awaited && !task.word.compare_exchange_strong(seen, awaited)) continue;
    constexpr auto kUntilItLives = 50ms;
    const auto until = os::has_owner(table_.life) ? limit : Clock::now() + kUntilItLives;
    os::wait_while_alive(task.word, awaited, table_.life, std::min(limit, until));
  }
}

/// From what the keeper calls them.
void PoolCore::translate(std::vector<std::uint64_t>& frames) const {
  if (options_.start == StartMethod::fork) return;
  const work::Translation translation(table_.keeper_modules);
  for (std::uint64_t& frame : frames) frame = translation.here(frame);
  std::erase(frames, 0);
}

/// Of all tasks, since the initializer has failed.
Failure PoolCore::broken_failure(const std::string& name) const {
  const std::size_t size = std::min<std::size_t>(table_.broken_size, table_.broken_note.size());
  return failure_in(std::span(table_.broken_note).first(size), name);
}

/// What a FailureNote says.
Failure PoolCore::failure_in(std::span<const std::byte> bytes, const std::string& name) const {
  auto note = decode<work::FailureNote>(bytes);
  if (!note) return undecodable_value(name, note.error());
  translate(note->frames);
  return note->to_failure();
}

Failure PoolCore::failure_of(std::uint32_t slot, const std::string& name) const {
  TaskSlot& task = memory_->slots()[slot];
  std::span<const std::byte> bytes = memory_->result(task);
  Failure made;
  switch (task.load().state) {
    case TaskState::failed: break;
    case TaskState::cancelled:
    case TaskState::cancelling: made.cause = Cause::cancelled; return made;
    default:
      made.error = refused(ErrorKind::no_such_process,
                           keepers_in_vain_ == 0
                               ? "its keeper is gone"
                               : "its keeper ended before it began: if it was spawned, does main "
                                 "begin with tine::worker_main()?");
      return made;
  }
  made.cause = Cause::out_of_memory;
  if (task.kind == ResultKind::broken) return broken_failure(name);
  if (task.kind == ResultKind::failure) made = failure_in(bytes, name);
  made.attempts = std::max<int>(1, task.attempts);
  return made;
}

Result<std::span<const std::byte>> PoolCore::outcome(std::uint32_t slot, const std::string& name) {
  Failure made;
  if (!is_owner()) {
    made.error = refused(ErrorKind::not_owner, "the future is another process's");
  } else {
    wait_until(slot, {});
    TaskSlot& task = memory_->slots()[slot];
    if (task.load().state == TaskState::done) {
      return memory_->result(task);
    }
    if (const auto next = moved_to(slot)) return next->core->outcome(next->slot, name);
    made = failure_of(slot, name);
  }
  made.subject = subject(name);
  return std::unexpected(std::move(made));
}

bool PoolCore::cancel(std::uint32_t slot) {
  if (!is_owner()) return false;
  TaskSlot& task = memory_->slots()[slot];
  std::optional<TaskWord> before;
  while (!before) {
    const TaskWord word = task.load();
    const bool waits = word.state == TaskState::queued || word.seat == work::kKeeperSeat;
    if (word.state != TaskState::queued && word.state != TaskState::delayed &&
        word.state != TaskState::running) {
      const auto next = moved_to(slot);
      return next && next->core->cancel(next->slot);
    }
    // The seat stays in the word: the keeper ends the worker that is there.
    before = task.conclude(word.state, waits ? TaskState::cancelled : TaskState::cancelling,
                           word.seat, word.seat);
  }
  if (before->state != TaskState::running) {
    cancelled_queued_.fetch_add(1);
    make_room();
  }
  cancelled_.fetch_add(1);
  if (before->state != TaskState::queued || before->watched) call_keeper();
  return true;
}

/// Who waits for room looks whether there is some.
void PoolCore::make_room() noexcept {
  if (table_.room_wanted.load() == 0) return;
  table_.room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_.room));
}

/// Readable when the task has an outcome, or nobody is left to tell.
int PoolCore::fd(std::uint32_t slot) {
  if (!is_owner()) return -1;
  const auto next = moved_to(slot);
  const std::lock_guard lock(mutex_);
  if (const auto found = watches_.find(slot); found != watches_.end()) {
    return found->second.poll.get();
  }
  if (next) return next->core->fd(next->slot);
  Watch watch{Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}, Fd{::epoll_create1(EPOLL_CLOEXEC)}};
  if (!watch.event || !watch.poll) return -1;
  watch.event = os::above_stdio(std::move(watch.event));
  watch.poll = os::above_stdio(std::move(watch.poll));
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  ::epoll_ctl(watch.poll.get(), EPOLL_CTL_ADD, watch.event.get(), &wanted);
  ::epoll_ctl(watch.poll.get(), EPOLL_CTL_ADD, keeper_end_.get(), &wanted);
  for (const Fd* fd : {&watch.event, &watch.poll}) os::note_own(fd->get());
  TaskSlot& task = memory_->slots()[slot];
  task.word.fetch_or(TaskWord::kWatched);
  // The keeper looks when it has got the request: at an end that came before it as well.
  if (!send_watch(slot, watch.event.get()) || task.load().finished()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(watch.event.get(), &one, sizeof one);
  }
  return watches_.emplace(slot, std::move(watch)).first->second.poll.get();
}

bool PoolCore::send_watch(std::uint32_t slot, int event) const noexcept {
  return os::send_message(requests_.get(), std::as_bytes(std::span(&slot, 1)),
                          std::span(&event, 1)) == 0;
}

void PoolCore::release(std::uint32_t slot) noexcept {
  if (!is_owner()) return;
  const std::lock_guard lock(mutex_);
  if (!watches_.empty()) watches_.erase(slot);
  if (const auto moved = moved_.find(slot); moved != moved_.end()) {
    successor_->release(moved->second);
    moved_.erase(moved);
  }
  if (memory_->slots()[slot].load().idle()) {
    free_slot(slot);
  } else {
    dropped_.push_back(slot);
  }
}

}  // namespace tine::detail
