// SPDX-License-Identifier: MIT
#include "tine/pool.h"

#include <mutex>
#include <string>
#include <utility>

#include "os/own_pid.h"
#include "os/pidfd.h"
#include "work/option_check.h"
#include "work/pool_core.h"
#include "work/pool_map.h"

namespace tine {

using detail::PoolCore;

struct Pool::State {
  explicit State(const PoolOptions& given) : options(given) {}

  const PoolOptions options;
  const pid_t owner = os::own_pid();
  std::mutex mutex{};  ///< for all that follows
  int workers = options.workers;
  std::shared_ptr<PoolCore> core{};
  Error error{};  ///< why there is none
  bool closed = false;
};

const TaskOptions Pool::kDefaults{};

namespace {

std::unique_ptr<Failure> not_started_by(const std::string& name, Error error) {
  auto failure = std::make_unique<Failure>();
  failure->cause = Cause::not_started;
  failure->subject = name.empty() ? "a task" : name;
  failure->error = std::move(error);
  return failure;
}

}  // namespace

Pool::Pool(PoolOptions options) : state_(std::make_unique<State>(options)) {
  auto core = PoolCore::start(state_->options);
  if (core) {
    state_->core = std::move(*core);
  } else {
    state_->error = std::move(core.error());
  }
}

std::expected<Pool, Error> Pool::start(PoolOptions options) {
  Pool pool(std::move(options));
  if (!pool.state_->core) return std::unexpected(pool.state_->error);
  return pool;
}

Pool::Pool(Pool&&) noexcept = default;
Pool& Pool::operator=(Pool&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Pool::~Pool() {
  if (state_) shutdown();
}

std::shared_ptr<PoolCore> Pool::core() {
  if (!state_) return nullptr;
  if (state_->owner != os::own_pid())
    return state_->core;  // a thread of the host may have the lock
  const std::lock_guard lock(state_->mutex);
  auto& core = state_->core;
  while (core && core->is_owner() && core->has_lost_keeper()) {
    if (state_->closed) return core;
    core->settle();
    core = core->successor();
  }
  if (core || state_->closed) return core;
  PoolOptions options = state_->options;
  options.workers = state_->workers;
  auto fresh = PoolCore::start(options);
  core = fresh ? std::move(*fresh) : nullptr;
  if (!fresh) state_->error = std::move(fresh.error());
  return core;
}

detail::TaskRequest Pool::request(const TaskOptions& options) const noexcept {
  static const PoolOptions kNone{};
  const PoolOptions& own = state_ ? state_->options : kNone;
  return {.thunk = nullptr,
          .function = nullptr,
          .size = 0,
          .timeout = options.timeout.count() != 0 ? options.timeout : own.timeout,
          .retries = options.retries != -1 ? options.retries : own.retries,
          .priority = static_cast<int>(options.priority),
          .retry_if = options.retry_if != nullptr ? options.retry_if : own.retry_if,
          .retry_delay = options.retry_delay != nullptr ? options.retry_delay : own.retry_delay,
          .name = options.name};
}

/// Why there is no pool.
std::unique_ptr<Failure> Pool::not_started(const std::string& name) const {
  const Error moved{ErrorKind::invalid_argument, 0, Stage::prepare, "a pool", "it has been moved"};
  const std::string own = state_ ? state_->options.name : "";
  return not_started_by(name.empty() ? own : name, state_ ? state_->error : moved);
}

std::expected<std::optional<detail::TaskHandle>, std::unique_ptr<Failure>> Pool::begin(
    const detail::TaskRequest& request, detail::WhenFull when_full) {
  auto here = core();
  if (!here) return std::unexpected(not_started(std::string(request.name)));
  if (auto wrong = work::senseless(request)) {
    return std::unexpected(not_started_by(std::string(request.name), std::move(*wrong)));
  }
  auto slot = here->begin(request, when_full);
  while (!slot && here->has_lost_keeper()) {
    auto next = core();
    if (!next || next == here) break;
    here = std::move(next);
    slot = here->begin(request, when_full);
  }
  if (!slot) return std::unexpected(std::move(slot.error()));
  if (!*slot) return std::nullopt;
  return detail::TaskHandle(here, **slot);
}

detail::MapOutcome Pool::run_map(const detail::MapOrder& order, detail::MapInputs& inputs,
                                 detail::MapBody& body) {
  if (const auto here = core()) return work::PoolMap(here, order, inputs, body).run();
  detail::MapOutcome outcome;
  if (body.size() == 0) return outcome;
  const std::shared_ptr<const Failure> failure = not_started(order.name);
  outcome.failures.add(0, body.size(), failure);
  return outcome;
}

std::expected<void, Error> Pool::resize(int workers) {
  const auto here = core();
  if (!here) return std::unexpected(state_ ? state_->error : Error{});
  auto resized = here->resize(workers > 0 ? static_cast<std::size_t>(workers) : 0);
  if (resized) {
    const std::lock_guard lock(state_->mutex);
    state_->workers = workers;
  }
  return resized;
}

void Pool::shutdown(Drain drain) {
  if (!state_ || state_->owner != os::own_pid()) return;
  std::shared_ptr<PoolCore> core;
  {
    const std::lock_guard lock(state_->mutex);
    state_->closed = true;
    core = state_->core;
  }
  if (core) core->shutdown(drain);
}

/// As it is, without a new keeper. nullptr: nothing there is, or it is another process's.
std::shared_ptr<PoolCore> Pool::present_core() const {
  if (!state_ || state_->owner != os::own_pid()) return nullptr;
  const std::lock_guard lock(state_->mutex);
  return state_->core;
}

PoolStats Pool::stats() const {
  const auto here = present_core();
  return here ? here->stats() : PoolStats{};
}

std::vector<pid_t> Pool::worker_pids() const {
  const auto here = present_core();
  return here ? here->worker_pids() : std::vector<pid_t>{};
}

namespace detail {

std::unique_ptr<Failure> unencodable_arguments(const std::string& name, const Error& error) {
  auto failure = std::make_unique<Failure>();
  failure->cause = Cause::not_started;
  failure->subject = name.empty() ? "a task" : name;
  failure->message = error.to_string();
  failure->error = error;
  return failure;
}

Failure undecodable_value(const std::string& name, Error error) {
  Failure failure;
  failure.cause = Cause::undecodable;
  failure.subject = name.empty() ? "a task" : name;
  failure.error = std::move(error);
  return failure;
}

std::span<const std::byte> take_bytes(std::span<const std::byte>& bytes, std::uint64_t size) {
  if (size > bytes.size()) {
    throw BadArguments{
        Error{ErrorKind::undecodable, 0, Stage::decode, "the arguments of a task", "too short"}};
  }
  const auto taken = bytes.first(static_cast<std::size_t>(size));
  bytes = bytes.subspan(static_cast<std::size_t>(size));
  return taken;
}

std::byte* TaskHandle::arguments() const noexcept { return core_->arguments(slot_); }
void TaskHandle::submit() noexcept { core_->submit(slot_); }
bool TaskHandle::wait_for(std::chrono::nanoseconds limit) {
  if (limit.count() <= 0) return core_->wait_until(slot_, std::chrono::steady_clock::time_point{});
  return core_->wait_until(slot_, os::deadline_after(limit));
}
bool TaskHandle::cancel() { return core_->cancel(slot_); }
int TaskHandle::fd() { return core_->fd(slot_); }
Result<std::span<const std::byte>> TaskHandle::finish(const std::string& name) {
  return core_->outcome(slot_, name);
}
void TaskHandle::release() noexcept { core_->release(slot_); }

}  // namespace detail
}  // namespace tine
