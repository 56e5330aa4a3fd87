// SPDX-License-Identifier: MIT
#pragma once

/// A C++ function in a forked child, and its value back.
///
///     tine::Result<double> area = tine::call([&] { return integrate(grid); });
///     tine::Result<Image> image = tine::call({.timeout = 5s}, decode_image, path);
///     if (!image) std::cerr << image.error().to_string() << '\n';   // threw, crashed, ...
///
/// Whatever the function does, this process gets a value or a Failure that says what happened: an
/// exception with its type and text, a crash with its signal and backtrace, exit() instead of a
/// return, too much time with the place where the child was stuck. The function sees this process's
/// memory as it is now, so it may capture and use anything; what it changes there is the child's
/// own. Its value travels back through shared memory as codec.h says. What it writes to stderr
/// comes out of ours, and its last 4 KiB stand in a Failure.
///
/// Fork safety is that of launch.h, which makes the child: with several threads it is refused.
/// Threads: call() may not be used beside other threads unless allowed. Blocks: until the end.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/cancel.h"
#include "tine/codec.h"
#include "tine/detail/codec_payload.h"
#include "tine/detail/portable.h"
#include "tine/error.h"
#include "tine/launch.h"
#include "tine/shared_array.h"
#include "tine/start_method.h"

namespace tine {

struct CallOptions {
  std::chrono::nanoseconds timeout{0};    ///< of one attempt; 0: none; then TERM, grace, KILL
  std::chrono::milliseconds grace{2000};  ///< between TERM and KILL
  std::uint64_t memory = 0;  ///< bytes that it may add to what it inherits; 0: no limit
  int retries = 0;           ///< further attempts after a failure
  std::string name{};        ///< for ps and in messages, at most 15 characters for ps
  ThreadPolicy threads = ThreadPolicy::refuse;
  bool inherit_stdin = false;      ///< false: stdin is /dev/null
  bool leave_descendants = false;  ///< false: children that the function started die with it
  bool core_dump = false;          ///< whether a crash may leave a core file
  CancelToken cancel{};
  /// fork_server and spawn take a function without captures, whose arguments travel: fork_server.h.
  StartMethod start = StartMethod::fork;
};

namespace detail {

/// In the child: runs the function and writes its value.
using CallBody = std::function<std::expected<void, Error>(ByteSink&)>;

/// What is to be run: by a copy of this process, or by any. Owner: the caller, of all it refers to.
struct CallWork {
  CallBody body{};
  /// Empty: only a copy can.
  std::function<std::expected<PortableCall, Error>()> portable{};
};

/// The bytes that a child has written, in memory shared with it; it is gone, so they stay as they
/// are. Copies share them.
class CallPayload {
 public:
  CallPayload() noexcept = default;
  CallPayload(std::shared_ptr<const void> owner, std::span<const std::byte> bytes) noexcept
      : owner_(std::move(owner)), bytes_(bytes) {}
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::shared_ptr<const void>& owner() const noexcept { return owner_; }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

/// A call in flight.
class PendingCall {
 public:
  static std::expected<PendingCall, Failure> start(const CallOptions& options,
                                                   const CallWork& work);
  PendingCall(PendingCall&&) noexcept;
  PendingCall& operator=(PendingCall&&) noexcept;
  ~PendingCall();

  [[nodiscard]] int fd() const noexcept;
  /// Until the end, or `limit`; false: not yet.
  bool wait_for(std::chrono::nanoseconds limit);
  void cancel();
  /// What it ended with. Blocks: until it has.
  Result<CallPayload> finish();

 private:
  struct State;
  explicit PendingCall(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

/// PendingCall::start(), where there will be one attempt only.
std::expected<PendingCall, Failure> start_call(const CallOptions& options, const CallWork& work);

/// start() and finish(), again as often as the options say.
Result<CallPayload> run_call(const CallOptions& options, const CallWork& work);

Failure undecodable(const std::string& name, Error error);

template <class F, class... Args>
using CallValue = std::decay_t<std::invoke_result_t<F, Args...>>;

/// References all: what is moved from is the child's copy.
template <class R, class F, class... Args>
CallWork work_of(StartMethod start, F& fn, Args&... args) {
  CallWork work;
  work.body = [&](ByteSink& sink) {
    auto arguments = std::forward_as_tuple(std::forward<Args>(args)...);
    return call_and_write<R>(fn, arguments, sink);
  };
  if constexpr (is_portable<R, F, Args...>()) {
    if (start != StartMethod::fork) {
      work.portable = [&] { return make_portable<R>(fn, args...); };
    }
  }
  return work;
}

template <class R>
Result<R> value_of(const std::string& name, Result<CallPayload> payload) {
  if (!payload) return std::unexpected(std::move(payload.error()));
  if constexpr (std::is_void_v<R>) {
    return {};
  } else {
    auto value = read_payload<R>(payload->bytes());
    if (!value) return std::unexpected(undecodable(name, std::move(value.error())));
    return std::move(*value);
  }
}

template <class F>
concept CallableNotOptions = !std::is_same_v<std::remove_cvref_t<F>, CallOptions>;

}  // namespace detail

/// Runs `fn(args...)` in a forked child and gives its value, or how it failed.
///
/// What a reference refers to is copied; an expected<T, E> that fn returns is a value like any
/// other. A type that cannot travel does not compile.
/// Causes: threw, exited (exit() instead of a return), signaled, timed_out, out_of_memory,
///         cancelled, undecodable, lost, not_started (threads_running, too_many_processes, ...)
/// Example: examples/guide_call.cc
template <class F, class... Args>
  requires detail::CallableNotOptions<F>
[[nodiscard]] Result<detail::CallValue<F, Args...>> call(const CallOptions& options, F&& fn,
                                                         Args&&... args) {
  using R = detail::CallValue<F, Args...>;
  const auto work = detail::work_of<R, F, Args...>(options.start, fn, args...);
  return detail::value_of<R>(options.name, detail::run_call(options, work));
}

template <class F, class... Args>
  requires detail::CallableNotOptions<F>
[[nodiscard]] Result<detail::CallValue<F, Args...>> call(F&& fn, Args&&... args) {
  return call(CallOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

/// call() for a function that gives a vector or string of plain values, which may be of any size:
/// what it gives is read where the child has put it.
template <class F, class... Args>
  requires detail::CallableNotOptions<F> && detail::RangeOf<detail::CallValue<F, Args...>>::kIsRaw
[[nodiscard]] auto call_in_place(const CallOptions& options, F&& fn, Args&&... args)
    -> Result<SharedArray<typename detail::RangeOf<detail::CallValue<F, Args...>>::Element>> {
  using R = detail::CallValue<F, Args...>;
  using Element = typename detail::RangeOf<R>::Element;
  const auto work = detail::work_of<R, F, Args...>(options.start, fn, args...);
  auto payload = detail::run_call(options, work);
  if (!payload) return std::unexpected(std::move(payload.error()));
  auto elements = detail::view_payload<Element>(payload->bytes());
  if (!elements) {
    return std::unexpected(detail::undecodable(options.name, std::move(elements.error())));
  }
  return SharedArray<Element>(payload->owner(), *elements);
}

template <class F, class... Args>
  requires detail::CallableNotOptions<F> && detail::RangeOf<detail::CallValue<F, Args...>>::kIsRaw
[[nodiscard]] auto call_in_place(F&& fn, Args&&... args) {
  return call_in_place(CallOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace tine
