// SPDX-License-Identifier: MIT
#include "tine/batch.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "command/callback_guard.h"
#include "command/failure.h"
#include "command/halt_count.h"
#include "command/job_attempt.h"
#include "command/job_in_flight.h"
#include "command/job_launcher.h"
#include "command/job_supply.h"
#include "command/outcome_queue.h"
#include "command/output_pool.h"
#include "command/start_gate.h"
#include "command/time_limits.h"
#include "os/event_loop.h"
#include "os/own_pid.h"
#include "os/process_table.h"
#include "tine/process.h"

namespace tine {

using command::JobAttempt;
using command::JobInFlight;
using command::outcome_of;
using Clock = os::EventLoop::Clock;
using Ending = JobInFlight::Ending;

struct Batch::State {
  State(BatchOptions given, Source source);

  // ---- Starting ----

  void fill() {
    if (options.cancel.cancelled() && !supply.stopped()) end_all();
    while (!suspended_at && gate.is_open(running)) {
      auto next = supply.next(!outcomes.full());
      if (!next) return;
      gate.one_starts();
      start(std::move(*next));
    }
  }

  void start(JobAttempt next) {
    auto job = std::make_unique<JobInFlight>(std::move(next), shared);
    JobAttempt& attempt = job->attempt();
    const auto now = command::StartTime::now();
    auto launched = launcher.launch(attempt);
    if (!launched && running > 0 && command::is_shortage(launched.error())) {
      return postpone(std::move(attempt), launched.error());
    }
    attempt.begin_next(now);
    if (!launched) return not_started(attempt, std::move(launched.error()));
    const std::size_t slot = attempt.job.slot;
    if (jobs.size() <= slot) jobs.resize(slot + 1);
    jobs[slot] = std::move(job);
    ++running;
    jobs[slot]->run(std::move(*launched), limits.limit_of(attempt.job.command.spec()));
    if (ends_all) jobs[slot]->end(Ending::cancelled);  // said while its source was asked
  }

  /// As many run as the system allows: this one waits until one of them has ended.
  void postpone(JobAttempt refused, const Error& refusal) {
    gate.narrow(running);
    supply.postpone(std::move(refused));
    if (!options.on_shortage) return;
    callbacks.call([&] { options.on_shortage(refusal, running); });
  }

  void not_started(JobAttempt& attempt, Error error) {
    Result<Finished> result =
        std::unexpected(command::not_started(attempt.job.command.spec(), std::move(error)));
    if (try_again(attempt, result)) return;
    supply.release(attempt.job.slot);
    settle(outcome_of(attempt, std::move(result)), Ending::none);
  }

  // ---- Ending ----

  /// An attempt is over: again, or an outcome.
  void on_over(JobInFlight& over) {
    const std::unique_ptr<JobInFlight> job = std::move(jobs[over.attempt().job.slot]);
    --running;
    JobAttempt& attempt = job->attempt();
    command::LaunchedJob& launched = job->launched();
    Result<Finished>& result = job->result();
    launcher.take_back(std::move(launched.start));
    if (job->ending() == Ending::none) learn_run_time(result);
    if (job->ending() != Ending::cancelled && try_again(attempt, result)) {
      files.take_back(std::move(launched.out));
      files.take_back(std::move(launched.err));
      return;
    }
    supply.release(attempt.job.slot);
    // The next job runs while the books of this one are kept, unless they may say stop.
    if (options.halt.when == Halt::When::never) fill();
    Outcome outcome = outcome_of(attempt, std::move(result));
    outcome.out = std::move(launched.out);
    outcome.err = std::move(launched.err);
    settle(std::move(outcome), job->ending());
  }

  void learn_run_time(const Result<Finished>& result) {
    const auto limit = limits.learn(result);
    if (!limit) return;
    for (auto& job : jobs) {
      if (job) job->set_limit(*limit);
    }
  }

  /// In the same slot, and before anything new.
  bool try_again(JobAttempt& attempt, Result<Finished>& result) {
    if (result || supply.stopped() || attempt.number > options.retries) return false;
    attempt.failure = std::move(result.error());
    supply.retry(std::move(attempt));
    return true;
  }

  /// A job has ended for good.
  void settle(Outcome outcome, Ending ending) {
    const bool success = outcome.result.has_value();
    if (success) gate.widen();
    if (options.on_end) {
      callbacks.call([&] { options.on_end(outcome); });
    }
    outcomes.push(std::move(outcome));
    if (ending == Ending::cancelled || !halt.count(success)) return;
    stop_starting();
    if (options.halt.when == Halt::When::now) end_all();
  }

  // ---- Control ----

  /// Nothing more starts: what waits for another attempt ends with the failure it has.
  void stop_starting() {
    for (auto& failed : supply.stop()) {
      settle(outcome_of(failed, std::unexpected(std::move(*failed.failure))), Ending::none);
    }
  }

  void end_all() {
    stop_starting();
    ends_all = true;
    os::ProcessTable seen;
    const bool scanned = running > 1 && seen.scan();
    for (auto& job : jobs) {
      if (job) job->end(Ending::cancelled, scanned ? &seen : nullptr);
    }
  }

  void kill_all() {
    stop_starting();
    ends_all = true;
    for (auto& job : jobs) {
      if (job) job->kill();
    }
  }

  /// Ends and reaps what runs. What the user's functions refer to may be gone already.
  void close() {
    callbacks.close();
    end_all();
    loop.pause_timers(false);
    while (running > 0) loop.run_once();
  }

  [[nodiscard]] bool owned() const noexcept { return maker == os::own_pid(); }

  const pid_t maker = os::own_pid();  ///< in a forked copy everything here belongs to the parent
  const BatchOptions options;

  command::CallbackGuard callbacks;
  os::EventLoop loop;
  command::StartGate gate;
  command::OutputPool files;
  command::JobLauncher launcher;
  command::JobSupply supply;
  command::OutcomeQueue outcomes;
  command::HaltCount halt;
  command::TimeLimits limits;
  const JobInFlight::Shared shared;

  std::vector<std::unique_ptr<JobInFlight>> jobs;  ///< by slot
  std::size_t running = 0;
  bool ends_all = false;
  std::optional<Clock::time_point> suspended_at{};
};

Batch::State::State(BatchOptions given, Source source)
    : options(std::move(given)),
      gate(loop, options.jobs > 0 ? options.jobs : usable_cpus(), options.delay),
      files(options.tmpdir),
      launcher(options, files),
      supply(std::move(source), callbacks),
      outcomes(options.ordered),
      halt(options.halt),
      limits(options.timeout, options.timeout_percent),
      shared{.loop = loop,
             .stop = options.stop,
             .on_lines =
                 [this](const JobInFlight& job, Piece lines) {
                   if (!options.on_output) return;
                   callbacks.call([&] { options.on_output(job.description(), lines); });
                 },
             .on_over = [this](JobInFlight& job) { on_over(job); }} {
  const int token = options.cancel.fd();
  if (token < 0) return;
  // A token that cannot be watched is still looked at before each start.
  [[maybe_unused]] const auto watched = loop.watch(token, EPOLLIN, [this, token] {
    loop.unwatch(token);
    end_all();
  });
}

Batch::Batch(BatchOptions options) : Batch(std::move(options), nullptr) {}
Batch::Batch(BatchOptions options, Source source)
    : state_(std::make_unique<State>(std::move(options), std::move(source))) {}
Batch::Batch(Batch&&) noexcept = default;

Batch& Batch::operator=(Batch&& other) noexcept {
  if (this != &other) {
    Batch old(std::move(*this));
    state_ = std::move(other.state_);
  }
  return *this;
}

Batch::~Batch() {
  if (!state_) return;
  if (state_->owned()) {
    state_->close();
  } else {
    // Its descriptors and children are the parent's; to destroy it here would disturb them.
    [[maybe_unused]] State* const parents = state_.release();
  }
}

void Batch::add(Command command) { state_->supply.add(std::move(command)); }

std::optional<Outcome> Batch::next() {
  State& state = *state_;
  if (!state.owned()) return std::nullopt;
  for (;;) {
    state.fill();
    state.callbacks.rethrow();
    if (auto outcome = state.outcomes.pop()) return outcome;
    if (state.running == 0 && state.supply.exhausted()) return std::nullopt;
    state.loop.run_once();
  }
}

void Batch::stop_starting() {
  if (state_->owned()) state_->stop_starting();
}

void Batch::end_all() {
  if (state_->owned()) state_->end_all();
}

void Batch::kill_all() {
  if (state_->owned()) state_->kill_all();
}

void Batch::suspend() {
  State& state = *state_;
  if (state.suspended_at || !state.owned()) return;
  state.loop.pause_timers(true);
  state.suspended_at = Clock::now();
  for (auto& job : state.jobs) {
    if (job) job->suspend();
  }
}

void Batch::resume() {
  State& state = *state_;
  if (!state.suspended_at || !state.owned()) return;
  const auto pause = Clock::now() - *std::exchange(state.suspended_at, std::nullopt);
  state.loop.pause_timers(false);
  state.loop.delay_timers(pause);
  for (auto& job : state.jobs) {
    if (job) job->resume(pause);
  }
}

void Batch::reuse(OutputFile out, OutputFile err) {
  state_->files.take_back(std::move(out));
  state_->files.take_back(std::move(err));
}

std::vector<RunningJob> Batch::running() const {
  std::vector<RunningJob> jobs;
  for (const auto& job : state_->jobs) {
    if (job) jobs.push_back(job->description());
  }
  return jobs;
}

bool Batch::halted() const noexcept { return state_->halt.reached(); }

std::expected<void, Error> Batch::watch(int fd, std::function<void()> handler, bool once) {
  State* const state = state_.get();
  if (!state->owned()) {
    return std::unexpected(Error{.kind = ErrorKind::not_owner, .stage = Stage::wait});
  }
  auto guarded = [state, fd, handler = std::move(handler)] {
    if (!state->callbacks.call(handler)) state->loop.unwatch(fd);
  };
  return once ? state->loop.watch_once(fd, EPOLLIN, std::move(guarded))
              : state->loop.watch(fd, EPOLLIN, std::move(guarded));
}

void Batch::unwatch(int fd) {
  if (state_->owned()) state_->loop.unwatch(fd);
}

}  // namespace tine
