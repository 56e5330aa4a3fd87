// SPDX-License-Identifier: MIT
#pragma once

/// A call that runs while its caller does other things.
///
///     tine::Future<double> area = tine::call_async([&] { return integrate(grid); });
///     draw_something();
///     tine::Result<double> value = area.get();
///
/// No thread is started: the child works, and what the parent has to do happens in wait_for() and
/// get(). The timeout holds also while nobody waits; the guardian sees to that.
/// Owner: the future owns the child; its destructor cancels, which kills. Threads: one at a time.

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "tine/call.h"
#include "tine/error.h"

namespace tine {

template <class R>
class Future {
 public:
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  /// Becomes readable when the child has ended, for an event loop of another library; -1 when it
  /// could not be started or get() has been called.
  [[nodiscard]] int fd() const noexcept { return call_ ? call_->fd() : -1; }
  /// Whether get() would not block, after waiting for at most `limit`.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds limit) {
    return !call_ || call_->wait_for(limit);
  }
  [[nodiscard]] bool ready() { return wait_for(std::chrono::nanoseconds(0)); }
  /// Kills the child and what it has started; get() gives Cause::cancelled, unless it had ended.
  void cancel() {
    if (call_) call_->cancel();
  }
  /// The value, or how it failed. Once: a second call gives Cause::lost,
  /// with an error that says so.
  /// Blocks: until the child has ended.
  [[nodiscard]] Result<R> get() {
    if (failure_) return std::unexpected(std::move(*std::exchange(failure_, std::nullopt)));
    if (!call_) return std::unexpected(detail::nothing_to_get(name_));
    auto payload = call_->finish();
    call_.reset();
    return detail::value_of<R>(name_, std::move(payload));
  }

  /// For call_async.
  Future(std::expected<detail::PendingCall, Failure> call, std::string name)
      : name_(std::move(name)) {
    if (call) {
      call_ = std::move(*call);
    } else {
      failure_ = std::move(call.error());
    }
  }

 private:
  std::optional<detail::PendingCall> call_{};
  std::optional<Failure> failure_{};
  std::string name_;
};

/// Starts `fn(args...)` in a forked child. References need to live until this returns: the child
/// has a copy of all memory then. So there can be no second attempt: with `retries` the future
/// gives not_started (invalid_argument).
template <class F, class... Args>
  requires detail::CallableNotOptions<F>
[[nodiscard]] Future<detail::CallValue<F, Args...>> call_async(const CallOptions& options, F&& fn,
                                                               Args&&... args) {
  using R = detail::CallValue<F, Args...>;
  const auto work = detail::work_of<R, F, Args...>(options.start, fn, args...);
  return Future<R>(detail::start_call(options, work), options.name);
}

template <class F, class... Args>
  requires detail::CallableNotOptions<F>
[[nodiscard]] Future<detail::CallValue<F, Args...>> call_async(F&& fn, Args&&... args) {
  return call_async(CallOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace tine
