// SPDX-License-Identifier: MIT
#include "tine/pipeline.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <deque>
#include <iterator>

#include "child/child_state.h"
#include "child/tree_stopper.h"
#include "command/failure.h"
#include "command/start.h"
#include "command/streams.h"
#include "command/words.h"
#include "os/io.h"
#include "os/own_pid.h"

namespace tine {

using command::Drained;
using detail::ChildAccess;

namespace {

/// What the pipeline does with streams that its commands leave alone.
struct Ends {
  std::optional<detail::RedirectSpec> last_out{};  ///< of the last stage
  std::optional<int> all_errors{};  ///< a descriptor of ours for every stage's stderr
};

bool is_ours_to_end(Child& stage) {
  if (stage.fd() < 0) return false;  // reaped already, or taken
  const auto& state = ChildAccess::state(stage);
  return !state.detached && state.owner == os::own_pid();
}

/// Ends the stages that run. They share a group, so that one look at /proc serves for all; without
/// a group of their own each is looked after by itself. `loop` hears what they say meanwhile.
void end_stages(std::vector<Child>& stages, std::chrono::milliseconds grace,
                command::StreamLoop* loop = nullptr) {
  std::vector<child::TreeStopper> trees;
  for (auto& stage : stages) {
    if (!is_ours_to_end(stage)) continue;
    auto& state = ChildAccess::state(stage);
    const bool grouped = state.role == child::GroupRole::shared;
    if (grouped && !trees.empty()) break;
    trees.emplace_back(state.pid, state.pidfd.get(), grouped ? state.group : 0);
  }
  const auto until = std::chrono::steady_clock::now() + grace;
  for (auto& tree : trees) tree.signal(SIGTERM);
  if (loop != nullptr) {
    std::vector<int> pidfds;
    for (const auto& tree : trees) std::ranges::copy(tree.pidfds(), std::back_inserter(pidfds));
    loop->drain_until_ended(std::move(pidfds), until);
  }
  for (auto& tree : trees) {
    if (!tree.wait_all_ended(until)) tree.kill();
  }
}

/// Reaps stages that have all ended, or been killed.
std::expected<std::vector<Finished>, Error> reap_stages(std::vector<Child>& stages) {
  std::vector<Finished> finished;
  for (auto& stage : stages) {
    auto done = stage.wait();
    if (!done) return std::unexpected(done.error());
    finished.push_back(*done);
  }
  return finished;
}

/// The group of the first stage is that of all which join it.
std::shared_ptr<child::SharedGroup> share_group_of(detail::ChildState& first) {
  first.role = child::GroupRole::shared;
  return std::make_shared<child::SharedGroup>();
}

void join(const std::shared_ptr<child::SharedGroup>& group, detail::ChildState& stage) {
  if (stage.role != child::GroupRole::shared) return;
  stage.shared_group = group;
  ++group->unreaped;
  if (stage.leave_descendants) group->leave_descendants = true;
}

/// Its group is out of reach for the others then: each stage gets its own.
bool has_own_session(const detail::CommandSpec& spec) {
  return spec.new_session || spec.detach || command::has_pseudo_terminal(spec);
}

/// With `launches`, one for each stage, the stages start beside each other; whether each could, is
/// to be asked of them.
std::expected<RunningPipeline, Error> start_stages(const std::vector<Command>& commands,
                                                   const Ends& ends,
                                                   std::deque<command::BackgroundStart>* launches) {
  RunningPipeline running;
  running.grace = std::chrono::milliseconds(0);  // until all of them run
  std::optional<pid_t> group;
  std::shared_ptr<child::SharedGroup> shared;
  Fd previous_out;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    command::StartOptions options;
    Fd next_out;
    Fd out;
    if (i > 0) options.defaults.push_back({0, command::own_fd(previous_out.get())});
    if (i + 1 < commands.size()) {
      auto pipe = os::make_pipe();
      if (!pipe) return std::unexpected(pipe.error());
      // Fewer turns between writer and reader. Refused above /proc/sys/fs/pipe-user-pages-soft:
      // then it is as large as others.
      constexpr int kPipeBytes = 256 << 10;
      ::fcntl(pipe->write.get(), F_SETPIPE_SZ, kPipeBytes);
      next_out = std::move(pipe->read);
      out = std::move(pipe->write);
      options.defaults.push_back({1, command::own_fd(out.get())});
    } else if (ends.last_out) {
      options.defaults.push_back({1, *ends.last_out});
    }
    if (ends.all_errors) options.defaults.push_back({2, command::own_fd(*ends.all_errors)});
    if (i > 0) options.group = group;
    options.leads_group = i == 0;
    auto stage = launches == nullptr ? command::start(commands[i].spec(), options)
                                     : (*launches)[i].start(commands[i].spec(), options);
    if (!stage) return std::unexpected(stage.error());
    auto& state = ChildAccess::state(*stage);
    if (i == 0) {
      // At the terminal the whole pipeline stays with the caller, as its first stage does.
      const bool own = state.role == child::GroupRole::own;
      if (own && !has_own_session(commands[0].spec())) {
        group = state.pid;
        shared = share_group_of(state);
      } else if (!own) {
        group = -1;
      }
    }
    join(shared, state);
    previous_out = std::move(next_out);
    running.stages.push_back(std::move(*stage));
  }
  return running;
}

std::vector<StageOutcome> outcomes_of(const std::vector<Command>& commands,
                                      const std::vector<Finished>& finished) {
  std::vector<StageOutcome> stages;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    const bool has_reader = i + 1 < commands.size();
    stages.push_back({.name = std::string(command::base_name(commands[i].spec().argv[0])),
                      .finished = finished[i],
                      .reader_left = has_reader && finished[i].status.signal() == SIGPIPE});
  }
  return stages;
}

/// The rightmost stage that failed; nothing: all succeeded.
std::optional<std::size_t> deciding_stage(const std::vector<StageOutcome>& stages) {
  for (std::size_t i = stages.size(); i-- > 0;) {
    if (!stages[i].finished.status.success() && !stages[i].reader_left) return i;
  }
  return std::nullopt;
}

std::string statuses_text(const std::vector<StageOutcome>& stages) {
  std::string text;
  for (const auto& stage : stages) {
    text += (text.empty() ? "" : " | ") + stage.name + ": " + stage.finished.status.to_string();
  }
  return text;
}

Usage total_usage(const std::vector<StageOutcome>& stages) {
  Usage total;
  for (const auto& stage : stages) {
    const Usage& used = stage.finished.usage;
    total.wall = std::max(total.wall, used.wall);
    total.user += used.user;
    total.sys += used.sys;
    total.minor_faults += used.minor_faults;
    total.major_faults += used.major_faults;
    total.voluntary_switches += used.voluntary_switches;
    total.involuntary_switches += used.involuntary_switches;
    if (used.max_rss) total.max_rss = std::max(total.max_rss.value_or(0), *used.max_rss);
  }
  return total;
}

}  // namespace

Pipeline::Pipeline(Command first, Command second) {
  commands_.push_back(std::move(first));
  commands_.push_back(std::move(second));
}

Pipeline& Pipeline::then(Command next) {
  commands_.push_back(std::move(next));
  return *this;
}

Pipeline& Pipeline::timeout(std::chrono::nanoseconds limit) {
  timeout_ = limit;
  return *this;
}

Pipeline& Pipeline::grace(std::chrono::milliseconds grace) {
  grace_ = grace;
  return *this;
}

Pipeline& Pipeline::unchecked(bool on) {
  unchecked_ = on;
  return *this;
}

Pipeline& Pipeline::cancel(CancelToken token) {
  cancel_ = std::move(token);
  return *this;
}

Pipeline& Pipeline::capture_limit(std::size_t bytes, OnLimit then) {
  capture_limit_ = bytes;
  truncate_at_limit_ = then == OnLimit::truncate;
  return *this;
}

std::expected<RunningPipeline, Error> Pipeline::start() const {
  auto running = start_stages(commands_, {}, nullptr);
  if (running) running->grace = grace_;
  return running;
}

RunningPipeline::~RunningPipeline() { terminate(grace); }

void RunningPipeline::terminate(std::chrono::milliseconds limit) {
  end_stages(stages, limit);
  for (auto& stage : stages) {
    if (!is_ours_to_end(stage)) continue;
    // All have ended, or have been killed; what even that did not end is left to ~Child.
    [[maybe_unused]] const auto reaped = stage.terminate(std::span<const StopStep>{});
  }
}

namespace {

/// The name that failures of the whole pipeline carry.
detail::CommandSpec pipeline_spec(const std::vector<Command>& commands) {
  std::string name;
  for (const auto& command : commands) {
    name +=
        (name.empty() ? "" : " | ") +
        std::string(command.spec().argv.empty() ? "" : command::base_name(command.spec().argv[0]));
  }
  detail::CommandSpec spec;
  spec.argv = {std::move(name)};
  return spec;
}

}  // namespace

struct detail::PipelineRun {
  const Pipeline& pipeline;
  bool capture_out;
  bool capture_errors;

  CommandSpec spec = pipeline_spec(pipeline.commands());
  PipelineOutput output{};
  bool started = false;  ///< all stages were
  command::Collector out{output.out, pipeline.capture_limit_};
  command::Collector err{output.err, pipeline.capture_limit_};
  command::StreamLoop loop{};
  std::deque<command::BackgroundStart> launches{pipeline.commands().size()};

  std::expected<void, Error> listen(Fd fd, command::Collector& into) {
    return loop.add(std::move(fd), [this, &into](std::string_view piece) {
      if (!into.take(piece) && !pipeline.truncate_at_limit_) loop.stop();
      return true;
    });
  }

  std::expected<Drained, Error> run_stages() {
    Ends ends;
    os::PipeEnds errors;
    if (capture_errors) {
      auto pipe = os::make_pipe();
      if (!pipe) return std::unexpected(pipe.error());
      errors = std::move(*pipe);
      ends.all_errors = errors.write.get();
    }
    if (capture_out) ends.last_out = RedirectSpec{.kind = RedirectSpec::Kind::pipe};
    auto running = start_stages(pipeline.commands(), ends, &launches);
    if (!running) return std::unexpected(running.error());
    errors.write.reset();
    auto& stages = running->stages;
    if (auto failure = first_failure()) {
      running->terminate(std::chrono::milliseconds(0));
      return std::unexpected(std::move(*failure));
    }
    running->grace = pipeline.grace_;
    if (errors.read) {
      if (auto added = listen(std::move(errors.read), err); !added) {
        return std::unexpected(added.error());
      }
    }
    if (stages.back().out()) {
      if (auto added = listen(std::move(stages.back().out()), out); !added) {
        return std::unexpected(added.error());
      }
    }
    started = true;
    return wait_for(stages);
  }

  /// The first stage that could not be started. Until that is known of all of them, no stage that
  /// could is disturbed.
  std::optional<Error> first_failure() {
    for (std::size_t i = 0; i < launches.size(); ++i) {
      if (auto failure = launches[i].failure(pipeline.commands()[i].spec())) return failure;
    }
    return std::nullopt;
  }

  std::expected<Drained, Error> wait_for(std::vector<Child>& stages) {
    os::Deadline deadline;
    if (pipeline.timeout_.count() > 0) {
      deadline = os::deadline_after(pipeline.timeout_);
    }
    std::vector<int> pidfds;
    for (auto& stage : stages) pidfds.push_back(stage.fd());
    auto how = loop.run_until_ended(std::move(pidfds), deadline, pipeline.cancel_);
    if (!how) return how;
    if (*how != Drained::ended) end_stages(stages, pipeline.grace_, &loop);
    auto finished = reap_stages(stages);
    loop.finish();
    if (!finished) return std::unexpected(finished.error());
    output.stages = outcomes_of(pipeline.commands(), *finished);
    output.usage = total_usage(output.stages);
    return how;
  }

  Failure failure(Cause cause, ExitStatus status) {
    Failure made =
        command::failed_run(spec, cause, {status, output.usage}, std::move(output.out), output.err);
    made.message = statuses_text(output.stages);
    return made;
  }

  Result<PipelineOutput> run() {
    auto how = run_stages();
    if (!how && !started) return std::unexpected(command::not_started(spec, how.error()));
    if (!how) {
      Failure made = command::failed_run(spec, Cause::lost, {}, std::move(output.out), output.err);
      made.status.reset();
      made.error = how.error();
      return std::unexpected(std::move(made));
    }
    output.truncated = out.overflowed() || err.overflowed();
    if (output.truncated && !pipeline.truncate_at_limit_) how = Drained::stopped;
    const auto decisive = deciding_stage(output.stages);
    output.status = decisive ? output.stages[*decisive].finished.status : ExitStatus{};
    if (*how == Drained::timed_out)
      return std::unexpected(failure(Cause::timed_out, output.status));
    if (*how != Drained::ended) {
      auto made = failure(Cause::cancelled, output.status);
      if (*how == Drained::stopped) {
        made.error = Error{ErrorKind::output_limit, 0, Stage::read, made.subject,
                           "the limit is " + std::to_string(pipeline.capture_limit_) + " bytes"};
      }
      return std::unexpected(std::move(made));
    }
    if (decisive && !pipeline.unchecked_) {
      return std::unexpected(failure(command::cause_of(output.status), output.status));
    }
    return std::move(output);
  }
};

Result<PipelineOutput> Pipeline::run() const {
  return detail::PipelineRun{*this, false, false}.run();
}

Result<PipelineOutput> Pipeline::capture() const {
  return detail::PipelineRun{*this, true, true}.run();
}

Result<std::string> Pipeline::read() const {
  auto output = detail::PipelineRun{*this, true, false}.run();
  if (!output) return std::unexpected(std::move(output.error()));
  std::string text = std::move(output->out);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Pipeline operator|(Command left, Command right) { return {std::move(left), std::move(right)}; }

Pipeline operator|(Pipeline left, Command right) {
  left.then(std::move(right));
  return left;
}

}  // namespace tine
