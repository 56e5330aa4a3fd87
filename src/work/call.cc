// SPDX-License-Identifier: MIT
#include "tine/call.h"

#include <algorithm>
#include <utility>

#include "child/child_state.h"
#include "os/fork_generation.h"
#include "os/pidfd.h"
#include "work/call_channel.h"
#include "work/call_order.h"
#include "work/child_errors.h"
#include "work/elsewhere.h"
#include "work/memory_limit.h"
#include "work/option_check.h"
#include "work/symbolise.h"

namespace tine {

using Clock = std::chrono::steady_clock;
using work::CallChannel;
using work::CallStage;
using work::ChildErrors;

namespace {

std::string subject_of(const std::string& name) { return name.empty() ? "a function" : name; }

Failure not_started(const std::string& name, Error error) {
  Failure failure;
  failure.cause = Cause::not_started;
  failure.subject = subject_of(name);
  failure.error = std::move(error);
  return failure;
}

/// The time of a call may be up, and it may be cancelled, while the fork server does not answer.
Failure not_made(const std::string& name, Error error) {
  const ErrorKind kind = error.kind;
  Failure failure = not_started(name, std::move(error));
  if (kind == ErrorKind::timed_out) failure.cause = Cause::timed_out;
  if (kind == ErrorKind::cancelled) failure.cause = Cause::cancelled;
  return failure;
}

/// Why a wait of ours ended the child.
enum class Ending : unsigned char { none, timed_out, cancelled, out_of_memory };

}  // namespace

/// In a copy of the process that made it nothing is done with it.
struct detail::PendingCall::State {
  CallOptions options;
  CallChannel channel;
  ChildErrors errors;
  Child child{};
  os::Deadline deadline{};
  work::MemoryWatch memory{};
  Ending ending = Ending::none;
  CallStage stage_at_end{};                   ///< if we have ended it
  std::optional<work::RawBacktrace> where{};  ///< of a child whose time was up
  std::string no_answer{};                    ///< what stands in its place
  std::optional<std::expected<Finished, Error>> finished{};
  const std::uint32_t generation = os::fork_generation();

  [[nodiscard]] bool is_owner() const noexcept { return generation == os::fork_generation(); }

  /// Waits for at most `limit`. What the child says meanwhile is passed on in steps.
  bool wait(os::Deadline limit) {
    constexpr auto kStep = std::chrono::milliseconds(100);
    constexpr auto kUntilTaken = std::chrono::milliseconds(10);
    bool all_passed_on = true;
    while (!finished) {
      os::Deadline until = Clock::now() + (all_passed_on ? kStep : kUntilTaken);
      for (const auto& other : {limit, deadline}) {
        if (other && *other < *until) until = other;
      }
      const auto seen = os::poll_pidfd(child.fd(), options.cancel.fd(), until);
      all_passed_on = errors.pass_on();
      if (seen == os::PidfdWait::ended) {
        reap();
      } else if (seen == os::PidfdWait::other_readable) {
        end(Ending::cancelled, options.grace);
      } else if (deadline && Clock::now() >= *deadline) {
        end(Ending::timed_out, options.grace);
      } else if (memory.exceeded()) {
        end(Ending::out_of_memory, std::chrono::milliseconds(0));
      } else if (limit && Clock::now() >= *limit) {
        return false;
      }
    }
    return true;
  }

  void reap() {
    finished = child.wait();
    if (child.timed_out()) ending = Ending::timed_out;
    const bool in_order = *finished && (*finished)->status.success();
    if (in_order && !options.leave_descendants) channel.allow_reuse();
    errors.pass_on_rest();
  }

  void end(Ending why, std::chrono::milliseconds grace) {
    if (finished) return;
    ending = why;
    stage_at_end = channel.end();
    if (why == Ending::timed_out) {
      // Or the guardian would end it while we ask. Where it was faster we learn nothing.
      [[maybe_unused]] const bool first = ChildAccess::state(child).seat.claim_timeout();
      ask_where_it_is();
    }
    finished = child.terminate(grace);
    errors.pass_on_rest();
  }

  /// Before it is signalled: where it was stuck, or why it does not tell.
  void ask_where_it_is() {
    where = work::ask_where(child.fd(), channel.report());
    if (!where) no_answer = work::no_answer_text(child.pid());
  }

  Failure failure(Cause cause) const {
    Failure made;
    made.cause = cause;
    made.subject = subject_of(options.name);
    made.stderr_tail = errors.tail();
    if (*finished) {
      made.status = (*finished)->status;
      made.usage = (*finished)->usage;
      made.elapsed = (*finished)->usage.wall;
    } else {
      made.error = finished->error();
    }
    return made;
  }

  Failure of_exception() const {
    auto record = read_payload<work::ExceptionRecord>(channel.payload());
    Failure made = failure(record ? Cause::threw : Cause::undecodable);
    if (record) {
      work::describe(std::move(*record), made);
    } else {
      made.error = std::move(record.error());
    }
    return made;
  }

  /// It said nothing: its end has to speak for it.
  Failure of_silence() const {
    if (ending == Ending::timed_out) {
      Failure made = failure(Cause::timed_out);
      if (where) work::tell_where(made, where->addresses());
      made.message = no_answer;
      return made;
    }
    if (ending == Ending::cancelled) return failure(Cause::cancelled);
    if (ending == Ending::out_of_memory) {
      Failure made = failure(Cause::out_of_memory);
      made.message = work::kMemoryExceeded;
      return made;
    }
    if (!*finished) return failure(Cause::lost);
    if ((*finished)->status.signal()) {
      Failure made = failure(Cause::signaled);
      if (const auto crash = work::read_crash(channel.report())) {
        work::tell_where(made, crash->addresses());
      }
      if (!has_begun()) made.message = "before the function began";
      return made;
    }
    Failure made = failure(Cause::exited);
    made.message = has_begun() ? "it ended by exit instead of returning" : why_not_begun();
    return made;
  }

  [[nodiscard]] bool has_begun() const noexcept {
    const CallStage stage = channel.stage();
    return (stage == CallStage::ended ? stage_at_end : stage) != CallStage::not_begun;
  }

  [[nodiscard]] std::string why_not_begun() const {
    if ((*finished)->status.code() == work::kBadOrder) {
      return "before the function began: no memory, no descriptors or no code of ours";
    }
    return "before the function began: does main begin with tine::worker_main()?";
  }

  Result<CallPayload> result() const {
    switch (channel.stage()) {
      // Complete, whatever happened to the child since.
      case CallStage::value: return CallPayload(channel.owner(), channel.payload());
      case CallStage::threw: return std::unexpected(of_exception());
      case CallStage::out_of_memory: return std::unexpected(failure(Cause::out_of_memory));
      case CallStage::unencodable: {
        Failure made = failure(Cause::undecodable);
        made.message = read_payload<std::string>(channel.payload()).value_or("");
        return std::unexpected(std::move(made));
      }
      case CallStage::refused: {
        const auto why = read_payload<std::string>(channel.payload()).value_or("");
        return std::unexpected(tine::not_started(
            options.name,
            {ErrorKind::not_found, 0, Stage::prepare, subject_of(options.name), why}));
      }
      case CallStage::not_begun:
      case CallStage::running:
      case CallStage::ended: break;
    }
    return std::unexpected(of_silence());
  }
};

detail::PendingCall::PendingCall(std::unique_ptr<State> state) noexcept
    : state_(std::move(state)) {}
detail::PendingCall::PendingCall(PendingCall&&) noexcept = default;
detail::PendingCall& detail::PendingCall::operator=(PendingCall&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
detail::PendingCall::~PendingCall() {
  if (!state_) return;
  if (state_->is_owner()) {
    state_->end(Ending::cancelled, std::chrono::milliseconds(0));
  } else {
    // Its descriptors may be closed already, and the numbers be those of others.
    [[maybe_unused]] const auto* const left = state_.release();
  }
}

namespace detail {
namespace {

/// A copy of this process.
std::expected<Child, Error> fork_call(const CallOptions& options, const CallBody& body,
                                      const CallChannel& channel, const ChildErrors& errors) {
  const LaunchOptions how{.timeout = options.timeout,
                          .grace = options.grace,
                          .name = options.name,
                          .threads = options.threads,
                          .inherit_stdin = options.inherit_stdin,
                          .leave_descendants = options.leave_descendants};
  work::prepare_crash_reports();
  const auto core = options.core_dump ? work::CoreDump::yes : work::CoreDump::no;
  return launch_body(how, [&] {
    work::install_crash_handlers(channel.report(), core);
    errors.become_stderr();
    if (options.memory > 0) work::limit_memory(options.memory);
    return channel.run(body);
  });
}

}  // namespace
}  // namespace detail

namespace {

std::expected<Child, Error> start_child(const CallOptions& options, const detail::CallWork& work,
                                        const CallChannel& channel, const ChildErrors& errors) {
  if (options.start == StartMethod::fork)
    return detail::fork_call(options, work.body, channel, errors);
  if (!work.portable) {
    return std::unexpected(
        Error{ErrorKind::captures, 0, Stage::prepare, subject_of(options.name),
              "it captures something (or could: [&] and [=] count), or its arguments cannot "
              "travel: StartMethod::fork takes any, the others a function and its arguments"});
  }
  const auto call = work.portable();
  if (!call) return std::unexpected(call.error());
  return work::start_call_elsewhere(options, *call, channel, errors);
}

}  // namespace

std::expected<detail::PendingCall, Failure> detail::PendingCall::start(const CallOptions& options,
                                                                       const CallWork& work) {
  if (auto wrong = work::senseless(options, subject_of(options.name))) {
    return std::unexpected(not_started(options.name, std::move(*wrong)));
  }
  const bool copy = options.start == StartMethod::fork;
  auto channel =
      CallChannel::create(copy ? CallChannel::Reach::copies : CallChannel::Reach::any_process);
  if (!channel) return std::unexpected(not_started(options.name, channel.error()));
  auto errors = ChildErrors::create();
  if (!errors) return std::unexpected(not_started(options.name, errors.error()));
  // Before the fork, after which each page that this process writes to is copied.
  auto state = std::make_unique<State>(options, std::move(*channel), std::move(*errors));
  auto child = start_child(options, work, state->channel, state->errors);
  if (!child) return std::unexpected(not_made(options.name, child.error()));
  state->errors.keep_from_later_children();
  state->child = std::move(*child);
  state->memory.begin(state->child.pid(), options.memory);
  if (options.timeout.count() > 0) state->deadline = os::deadline_after(options.timeout);
  return PendingCall(std::move(state));
}

int detail::PendingCall::fd() const noexcept { return state_->child.fd(); }

bool detail::PendingCall::wait_for(std::chrono::nanoseconds limit) {
  return !state_->is_owner() || state_->wait(os::deadline_after(limit));
}

void detail::PendingCall::cancel() {
  if (state_->is_owner()) state_->end(Ending::cancelled, std::chrono::milliseconds(0));
}

Result<detail::CallPayload> detail::PendingCall::finish() {
  if (!state_->is_owner()) {
    const std::string& name = state_->options.name;
    return std::unexpected(
        not_started(name, {ErrorKind::not_owner, 0, Stage::wait, subject_of(name),
                           "the future is another process's"}));
  }
  state_->wait({});
  return state_->result();
}

std::expected<detail::PendingCall, Failure> detail::start_call(const CallOptions& options,
                                                               const CallWork& work) {
  if (options.retries <= 0) return PendingCall::start(options, work);
  return std::unexpected(not_started(
      options.name, Error{ErrorKind::invalid_argument, 0, Stage::prepare, subject_of(options.name),
                          "call_async() makes one attempt: retries are for call()"}));
}

Result<detail::CallPayload> detail::run_call(const CallOptions& options, const CallWork& work) {
  for (int attempt = 1;; ++attempt) {
    auto pending = PendingCall::start(options, work);
    auto result =
        pending ? pending->finish() : Result<CallPayload>(std::unexpected(pending.error()));
    if (result) return result;
    result.error().attempts = attempt;
    const Cause cause = result.error().cause;
    if (attempt > options.retries || cause == Cause::cancelled || cause == Cause::not_started) {
      return result;
    }
  }
}

Failure detail::undecodable(const std::string& name, Error error) {
  Failure failure;
  failure.cause = Cause::undecodable;
  failure.subject = subject_of(name);
  failure.error = std::move(error);
  return failure;
}

}  // namespace tine
