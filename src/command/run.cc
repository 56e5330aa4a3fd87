// SPDX-License-Identifier: MIT

/// Running a command to its end: run, read, capture, each_line, each_chunk.

#include <signal.h>

#include <cerrno>
#include <utility>

#include "child/child_state.h"
#include "child/tree_stopper.h"
#include "command/failure.h"
#include "command/start.h"
#include "command/streams.h"
#include "tine/command.h"

namespace tine {

using command::Drained;
using command::StartOptions;
using command::StreamLoop;
using detail::ChildAccess;

namespace {

command::DefaultRedirect piped(int number) {
  return {number, {.kind = detail::RedirectSpec::Kind::pipe}};
}

/// A command that runs, and how waiting for it went.
struct Run {
  command::BackgroundStart launch{};
  Child child{};
  Drained how = Drained::ended;
  Finished finished{};
};

Failure lost(const detail::CommandSpec& spec, Error error) {
  Failure failure = command::failed_run(spec, Cause::lost, {});
  failure.status.reset();
  failure.error = std::move(error);
  return failure;
}

/// Starts the command; whether it could be executed shows at its end, in ended().
Result<void> begin(const detail::CommandSpec& spec, const StartOptions& options, Run& run) {
  auto child = run.launch.start(spec, options);
  if (!child) return std::unexpected(command::not_started(spec, child.error()));
  run.child = std::move(*child);
  return {};
}

/// What has ended was the program, or the attempt to start it.
Result<void> ended(const detail::CommandSpec& spec, Run& run) {
  auto failure = run.launch.failure(spec);
  if (!failure) return {};
  return std::unexpected(command::not_started(spec, std::move(*failure)));
}

/// TERM, the grace, KILL, as Child::terminate, but hearing what is said meanwhile.
std::expected<Finished, Error> terminate_listening(const detail::CommandSpec& spec,
                                                   StreamLoop& loop, Child& child) {
  auto& state = ChildAccess::state(child);
  child::TreeStopper tree(state.pid, state.pidfd.get(), state.killable_group());
  tree.signal(SIGTERM);
  const auto until = std::chrono::steady_clock::now() + spec.grace;
  if (!loop.drain_until_ended(tree.pidfds(), until)) tree.kill();
  return child.terminate(std::span<const StopStep>{});
}

/// Waits while the loop reads; ends the command when the time is up or somebody says so.
Result<void> finish_run(const detail::CommandSpec& spec, StreamLoop& loop, Run& run) {
  os::Deadline deadline;
  if (spec.timeout.count() > 0) deadline = os::deadline_after(spec.timeout);
  auto how = loop.run_until_ended({run.child.fd()}, deadline, spec.cancel);
  if (!how) return std::unexpected(lost(spec, how.error()));
  run.how = *how;
  auto finished =
      run.how == Drained::ended ? run.child.wait() : terminate_listening(spec, loop, run.child);
  loop.finish();
  if (!finished) return std::unexpected(lost(spec, finished.error()));
  run.finished = *finished;
  return ended(spec, run);
}

std::optional<Cause> failure_cause(const detail::CommandSpec& spec, const Run& run) {
  switch (run.how) {
    case Drained::timed_out: return Cause::timed_out;
    case Drained::cancelled:
    case Drained::stopped: return Cause::cancelled;
    case Drained::ended: break;
  }
  if (run.finished.status.success() || spec.unchecked) return std::nullopt;
  return command::cause_of(run.finished.status);
}

/// Who hears of ^Z has to wait for nothing else: the guardian watches the time then.
command::DeadlineBy deadline_by(const detail::CommandSpec& spec) {
  return spec.foreground ? command::DeadlineBy::guardian : command::DeadlineBy::caller;
}

/// run() without streams: one wait, no loop.
Result<Finished> wait_without_streams(const detail::CommandSpec& spec, Run& run) {
  const bool limited = spec.timeout.count() > 0 && deadline_by(spec) == command::DeadlineBy::caller;
  auto done =
      run.child.wait_for(limited ? spec.timeout : std::chrono::nanoseconds::max(), spec.cancel);
  if (done && *done) {
    run.finished = **done;
    if (run.child.timed_out()) run.how = Drained::timed_out;
  } else {
    const bool cancelled = !done && done.error().kind == ErrorKind::cancelled;
    if (!done && !cancelled) return std::unexpected(lost(spec, done.error()));
    run.how = cancelled ? Drained::cancelled : Drained::timed_out;
    auto ended = run.child.terminate(spec.grace);
    if (!ended) return std::unexpected(lost(spec, ended.error()));
    run.finished = *ended;
  }
  if (auto could = ended(spec, run); !could) return std::unexpected(std::move(could.error()));
  if (auto cause = failure_cause(spec, run)) {
    return std::unexpected(command::failed_run(spec, *cause, run.finished));
  }
  return run.finished;
}

/// A pipe whose other end nobody would hold: the child, or we, would wait for ever.
std::optional<Failure> unheld_pipe(const detail::CommandSpec& spec, bool output_is_read) {
  for (const auto& [number, redirect] : spec.redirects) {
    if (redirect.kind != detail::RedirectSpec::Kind::pipe) continue;
    if (output_is_read && (number == 1 || number == 2)) continue;
    return command::not_started(
        spec, Error{ErrorKind::invalid_argument, 0, Stage::prepare, spec.argv[0],
                    "descriptor " + std::to_string(number) +
                        " is a pipe that nobody would hold: use start(), or converse()"});
  }
  return std::nullopt;
}

Result<Finished> stream_pieces(const detail::CommandSpec& spec,
                               const std::function<command::Taker(int)>& taker_for,
                               const bool& stopped) {
  Run run;
  if (auto refused = unheld_pipe(spec, true)) return std::unexpected(std::move(*refused));
  if (auto begun = begin(spec, {.defaults = {piped(1), piped(2)}}, run); !begun) {
    return std::unexpected(std::move(begun.error()));
  }
  StreamLoop loop;
  for (const int number : {1, 2}) {
    if (!run.child.pipe(number)) continue;
    auto added = loop.add(std::move(run.child.pipe(number)), taker_for(number));
    if (!added) return std::unexpected(lost(spec, added.error()));
  }
  if (auto done = finish_run(spec, loop, run); !done) return std::unexpected(done.error());
  const auto cause = failure_cause(spec, run);
  const bool of_our_closing = stopped && run.finished.status.signal() == SIGPIPE;
  if (!cause || (of_our_closing && cause == Cause::signaled)) return run.finished;
  return std::unexpected(command::failed_run(spec, *cause, run.finished));
}

/// Both streams, or stdout alone, up to the capture limit.
Result<Output> collect(const detail::CommandSpec& spec, bool with_stderr) {
  StartOptions options{.defaults = {piped(1)}};
  if (with_stderr) options.defaults.push_back(piped(2));
  Run run;
  if (auto refused = unheld_pipe(spec, true)) return std::unexpected(std::move(*refused));
  if (auto begun = begin(spec, options, run); !begun) {
    return std::unexpected(std::move(begun.error()));
  }
  StreamLoop loop;
  Output output;
  command::Collector out(output.out, spec.capture_limit);
  command::Collector err(output.err, spec.capture_limit);
  for (auto& [number, collector] : {std::pair{1, &out}, std::pair{2, &err}}) {
    if (!run.child.pipe(number)) continue;
    auto added = loop.add(std::move(run.child.pipe(number)),
                          [&loop, &spec, into = collector](std::string_view piece) {
                            if (!into->take(piece) && !spec.truncate_at_limit) loop.stop();
                            return true;
                          });
    if (!added) return std::unexpected(lost(spec, added.error()));
  }
  if (auto done = finish_run(spec, loop, run); !done) {
    done.error().output = std::move(output.out);
    return std::unexpected(done.error());
  }
  output.truncated = out.overflowed() || err.overflowed();
  if (output.truncated && !spec.truncate_at_limit) run.how = Drained::stopped;
  const auto cause = failure_cause(spec, run);
  if (!cause) {
    static_cast<Finished&>(output) = run.finished;
    return output;
  }
  auto failure = command::failed_run(spec, *cause, run.finished, std::move(output.out), output.err);
  if (run.how == Drained::stopped) {
    failure.error = Error{ErrorKind::output_limit, 0, Stage::read, failure.subject,
                          "the limit is " + std::to_string(spec.capture_limit) + " bytes"};
  }
  return std::unexpected(std::move(failure));
}

}  // namespace

Result<Finished> Command::run() const {
  Run run;
  if (auto refused = unheld_pipe(spec_, false)) return std::unexpected(std::move(*refused));
  const StartOptions options{.deadline = deadline_by(spec_), .only_waits = true};
  if (auto begun = begin(spec_, options, run); !begun) {
    return std::unexpected(std::move(begun.error()));
  }
  return wait_without_streams(spec_, run);
}

Result<Output> Command::capture() const { return collect(spec_, true); }

Result<std::string> Command::read() const {
  auto output = collect(spec_, false);
  if (!output) return std::unexpected(std::move(output.error()));
  std::string text = std::move(output->out);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<Finished> Command::each_chunk(const std::function<bool(Piece)>& handler) const {
  bool stopped = false;
  const auto taker_for = [&](int number) -> command::Taker {
    return [&handler, &stopped, number](std::string_view piece) {
      if (!piece.empty() && !stopped) stopped = !handler({number, piece});
      return !stopped;
    };
  };
  return stream_pieces(spec_, taker_for, stopped);
}

Result<Finished> Command::each_line(const std::function<bool(Piece)>& handler) const {
  bool stopped = false;
  const auto taker_for = [&](int number) -> command::Taker {
    auto cutter = std::make_shared<command::LineCutter>([&handler, &stopped, number](auto line) {
      if (!stopped) stopped = !handler({number, line});
      return !stopped;
    });
    return [cutter, &stopped](std::string_view piece) { return cutter->take(piece) && !stopped; };
  };
  return stream_pieces(spec_, taker_for, stopped);
}

Result<Finished> run(const Command& command) { return command.run(); }
Result<std::string> read(const Command& command) { return command.read(); }
Result<Output> capture(const Command& command) { return command.capture(); }

}  // namespace tine
