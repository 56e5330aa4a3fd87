// SPDX-License-Identifier: MIT
#include "command/job_in_flight.h"

#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "child/child_state.h"
#include "command/failure.h"
#include "os/pidfd.h"

namespace tine::command {

using Clock = os::EventLoop::Clock;
using detail::ChildAccess;

// ---- What happens to a job, and what it does then ----

enum class JobInFlight::State : unsigned char {
  running,    ///< nothing has been done to it
  stopping,   ///< the stop sequence is on
  lingering,  ///< so it is, but the process itself has ended: descendants are awaited
  killed,     ///< its tree has been sent KILL
  over,       ///< reaped: there is nobody to signal any more
};

enum class JobInFlight::Event : unsigned char {
  leader_ended,
  descendant_ended,
  timer,  ///< the limit, the pause of a step or the second after KILL has passed
  end,    ///< we want it to end
  kill,   ///< at once
};

enum class JobInFlight::Action : unsigned char {
  none,
  step,  ///< the next signal of the stop sequence: stopping, or lingering on; after the last: kill
  linger,  ///< wait for a descendant: lingering, or still killed; when there is none: finish
  kill,    ///< KILL for the tree, and a second for it to end: killed
  finish,  ///< reap or, when it is still there, abandon; read what is left to read: over
};

//              leader ended   descendant ended   timer     end      kill
//
//   running    finish         -                  step      step     kill
//   stopping   linger         -                  step      -        kill
//   lingering  -              linger             step      -        kill
//   killed     finish         linger             finish    -        kill
//   over       -              -                  -         -        -
//
// A slot stays taken until the whole tree that we end has gone. But what even KILL has not ended
// after a second is in the kernel's hands and on the guardian's list: the batch goes on without.
JobInFlight::Action JobInFlight::action_for(State state, Event event) noexcept {
  using enum Action;
  static constexpr Action kActions[5][5] = {
      {finish, none, step, step, kill},      // running
      {linger, none, step, none, kill},      // stopping
      {none, linger, step, none, kill},      // lingering
      {finish, linger, finish, none, kill},  // killed
      {none, none, none, none, none},        // over
  };
  return kActions[static_cast<std::size_t>(state)][static_cast<std::size_t>(event)];
}

void JobInFlight::on(Event event, os::ProcessTable* seen) {
  switch (action_for(state_, event)) {
    case Action::none: return;
    case Action::step: return next_stop_step(seen);
    case Action::linger: return await_descendants();
    case Action::kill: return kill_tree();
    case Action::finish: return finish();
  }
}

void JobInFlight::note(Ending why) noexcept {
  if (ending_ == Ending::none && state_ != State::over) ending_ = why;
}

void JobInFlight::end(Ending why, os::ProcessTable* seen) {
  note(why);
  on(Event::end, seen);
}

void JobInFlight::kill() {
  note(Ending::cancelled);
  on(Event::kill);
}

// ---- The actions ----

void JobInFlight::next_stop_step(os::ProcessTable* seen) {
  if (stop_step_ >= shared_.stop.size()) return kill_tree();
  const StopStep& step = shared_.stop[stop_step_++];
  if (state_ == State::running) {
    state_ = State::stopping;
    // From here on it is for us; where the guardian was faster its TERM is repeated.
    [[maybe_unused]] const bool first = ChildAccess::state(launched_.child).seat.claim_timeout();
  }
  tree().signal(static_cast<int>(step.signal), seen);
  set_timer(Clock::now() + step.pause);
}

void JobInFlight::await_descendants() {
  const int pidfd = tree().first_running_descendant();
  if (pidfd < 0) return finish();
  if (state_ == State::stopping) state_ = State::lingering;
  await(pidfd, Event::descendant_ended);
}

void JobInFlight::kill_tree() {
  state_ = State::killed;
  tree().kill();
  set_timer(Clock::now() + std::chrono::seconds(1));
}

void JobInFlight::finish() {
  shared_.loop.cancel(timer_);
  shared_.loop.cancel(look_timer_);
  shared_.loop.unwatch(awaited_);
  auto& child = ChildAccess::state(launched_.child);
  const auto ended =
      os::has_ended(child.pidfd.get()) ? ChildAccess::reap(child) : ChildAccess::abandon(child);
  if (ending_ == Ending::none && launched_.child.timed_out()) ending_ = Ending::timed_out;
  state_ = State::over;
  for (auto& stream : streams_) {
    if (!stream.is_open()) continue;
    stream.drain(taker());
    close(stream);  // a survivor of the job may hold the other end
  }
  OutputPool::seal(launched_.out);
  OutputPool::seal(launched_.err);
  result_ = result_of(ended);
  shared_.on_over(*this);  // last: it may destroy this
}

Result<Finished> JobInFlight::result_of(const std::expected<Finished, Error>& ended) {
  const auto& spec = attempt_.job.command.spec();
  if (auto failure = launched_.start->failure(spec)) {
    return std::unexpected(not_started(spec, std::move(*failure)));
  }
  if (!ended) {
    Failure failure = failed_run(spec, Cause::lost, {});
    failure.status.reset();
    failure.error = ended.error();
    return std::unexpected(std::move(failure));
  }
  const bool failed = !ended->status.success() && !spec.unchecked;
  if (ending_ == Ending::none && !failed) return *ended;
  Cause cause = cause_of(ended->status);
  if (ending_ == Ending::timed_out) cause = Cause::timed_out;
  if (ending_ == Ending::cancelled) cause = Cause::cancelled;
  constexpr std::size_t kTail = 4096;
  return std::unexpected(
      failed_run(spec, cause, *ended, {}, launched_.err ? launched_.err.tail(kTail) : ""));
}

// ---- The process ----

JobInFlight::JobInFlight(JobAttempt attempt, const Shared& shared)
    : shared_(shared),
      attempt_(std::move(attempt)),
      state_(State::running),
      awaited_event_(Event::leader_ended) {}

void JobInFlight::run(LaunchedJob launched, std::chrono::nanoseconds limit) {
  launched_ = std::move(launched);
  watch_streams();
  if (limit.count() > 0) set_limit(limit);
  await(launched_.child.fd(), Event::leader_ended);
}

void JobInFlight::set_limit(std::chrono::nanoseconds limit) {
  if (state_ != State::running) return;
  limit_ = limit;
  set_timer(os::deadline_after(limit) - (Clock::now() - attempt_.started.clock));
  tell_guardian();
}

/// What the guardian would do is TERM, not the stop sequence: it steps in only when we are late.
void JobInFlight::tell_guardian() {
  constexpr auto kLate = std::chrono::milliseconds(200);
  std::chrono::nanoseconds grace{0};
  for (const StopStep& step : shared_.stop) grace += step.pause;
  constexpr std::chrono::nanoseconds kAsGoodAsNever = std::chrono::years(50);
  const auto left = std::min(limit_, kAsGoodAsNever) - (Clock::now() - attempt_.started.clock);
  ChildAccess::state(launched_.child).seat.set_deadline(left + kLate, grace);
}

void JobInFlight::suspend() {
  if (state_ == State::over) return;
  ChildAccess::state(launched_.child).seat.clear_deadline();
  signal(SIGSTOP);
}

void JobInFlight::resume(std::chrono::nanoseconds pause) {
  if (state_ == State::over) return;
  attempt_.started.clock += pause;
  if (limit_.count() > 0) tell_guardian();
  signal(SIGCONT);
}

void JobInFlight::set_timer(Clock::time_point when) {
  shared_.loop.cancel(timer_);
  timer_ = shared_.loop.at(when, [this] {
    if (os::has_ended(awaited_)) return hear_end();
    note(Ending::timed_out);  // unless it is being ended already
    on(Event::timer);
  });
}

child::TreeStopper JobInFlight::new_tree() {
  const auto& child = ChildAccess::state(launched_.child);
  return {child.pid, child.pidfd.get(), child.killable_group()};
}

child::TreeStopper& JobInFlight::tree() {
  if (!tree_) tree_.emplace(new_tree());
  return *tree_;
}

void JobInFlight::signal(int number) {
  auto fresh = new_tree();
  (tree_ ? *tree_ : fresh).signal(number);
}

void JobInFlight::await(int pidfd, Event event) {
  awaited_ = pidfd;
  awaited_event_ = event;
  if (!shared_.loop.watch_once(pidfd, EPOLLIN, [this, event] { on(event); })) look_later();
}

/// Where epoll refuses to watch (no memory, fs.epoll.max_user_watches) a timer looks instead, which
/// is slow but loses nothing.
void JobInFlight::look_later() {
  shared_.loop.cancel(look_timer_);
  look_timer_ = shared_.loop.at(Clock::now() + std::chrono::milliseconds(10), [this] { look(); });
}

void JobInFlight::look() {
  look_later();
  for (auto& stream : streams_) read(stream);
  if (os::has_ended(awaited_)) hear_end();
}

/// Before the event loop tells it. Who was busy elsewhere comes to a timer late, and what has ended
/// meanwhile may have ended in time.
void JobInFlight::hear_end() {
  shared_.loop.unwatch(awaited_);
  on(awaited_event_);
}

RunningJob JobInFlight::description() const {
  return {.index = attempt_.job.index,
          .slot = attempt_.job.slot,
          .pid = launched_.child.pid(),
          .attempt = attempt_.number,
          .started = attempt_.started.date,
          .name = &attempt_.job.name};
}

// ---- Its streams ----

void JobInFlight::watch_streams() {
  for (const int number : {1, 2}) {
    Fd& end = launched_.child.pipe(number);
    if (!end) continue;
    streams_.reserve(2);  // handlers have their addresses
    LineStream& stream = streams_.emplace_back(std::move(end), number);
    if (!shared_.loop.watch(stream.fd(), EPOLLIN, [this, &stream] { read(stream); })) {
      look_later();
    }
  }
}

void JobInFlight::read(LineStream& stream) {
  if (stream.is_open() && stream.read(taker()) == 0) close(stream);
}

void JobInFlight::close(LineStream& stream) {
  shared_.loop.unwatch(stream.fd());
  stream.close(taker());
}

LineStream::Taker JobInFlight::taker() {
  return [this](Piece lines) { shared_.on_lines(*this, lines); };
}

}  // namespace tine::command
