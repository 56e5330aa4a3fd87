// SPDX-License-Identifier: MIT
#pragma once

/// For code that prefers exceptions: the same calls, throwing what the others return.
///
///     std::string head = tine::throwing::read({"git", "rev-parse", "HEAD"});

#include <exception>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "tine/call.h"
#include "tine/command.h"
#include "tine/error.h"
#include "tine/launch.h"
#include "tine/pipeline.h"

namespace tine {

class FailureException : public std::exception {
 public:
  explicit FailureException(Failure failure)
      : failure_(std::move(failure)), text_(failure_.to_string()) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
  std::string text_;
};

class ErrorException : public std::exception {
 public:
  explicit ErrorException(Error error) : error_(std::move(error)), text_(error_.to_string()) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
  std::string text_;
};

/// An exception of a child, as it left the function there: its type by name, its text as what().
class RemoteError : public std::exception {
 public:
  explicit RemoteError(Thrown thrown) : thrown_(std::move(thrown)) {}
  [[nodiscard]] const char* what() const noexcept override { return thrown_.message.c_str(); }
  [[nodiscard]] const std::string& type() const noexcept { return thrown_.type; }

 private:
  Thrown thrown_;
};

namespace detail {

/// Throws `thrown` because of `causes`, which nest as they did in the child.
[[noreturn]] inline void throw_nested(Thrown thrown, std::span<const Thrown> causes) {
  if (causes.empty()) throw RemoteError(std::move(thrown));
  try {
    throw_nested(causes.front(), causes.subspan(1));
  } catch (...) {
    std::throw_with_nested(RemoteError(std::move(thrown)));
  }
}

}  // namespace detail

namespace throwing {

/// Throws what the function in the child threw, as a RemoteError with its causes nested in it; any
/// other failure as a FailureException.
[[noreturn]] inline void rethrow(Failure failure) {
  if (failure.cause != Cause::threw) throw FailureException(std::move(failure));
  detail::throw_nested({failure.type, failure.message}, failure.causes);
}

/// The value, or its failure thrown.
template <class T>
T value(Result<T> result) {
  if (!result) throw FailureException(std::move(result).error());
  return std::move(*result);
}

template <class T>
T value(std::expected<T, Error> result) {
  if (!result) throw ErrorException(std::move(result).error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// Throws RemoteError for an exception of the function.
template <class F, class... Args>
  requires tine::detail::CallableNotOptions<F>
auto call(const CallOptions& options, F&& fn, Args&&... args) {
  auto result = tine::call(options, std::forward<F>(fn), std::forward<Args>(args)...);
  if (!result) rethrow(std::move(result.error()));
  if constexpr (!std::is_void_v<typename decltype(result)::value_type>) return std::move(*result);
}
template <class F, class... Args>
  requires tine::detail::CallableNotOptions<F>
auto call(F&& fn, Args&&... args) {
  return throwing::call(CallOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

inline Finished run(const Command& command) { return value(command.run()); }
inline std::string read(const Command& command) { return value(command.read()); }
inline Output capture(const Command& command) { return value(command.capture()); }
inline Child start(const Command& command) { return value(command.start()); }

/// Pipelines and series.
template <class Work>
auto run(const Work& work) -> decltype(value(work.run())) {
  return value(work.run());
}
inline std::string read(const Pipeline& pipeline) { return value(pipeline.read()); }
inline PipelineOutput capture(const Pipeline& pipeline) { return value(pipeline.capture()); }
inline RunningPipeline start(const Pipeline& pipeline) { return value(pipeline.start()); }

template <class F, class... Args>
  requires(!std::is_same_v<std::remove_cvref_t<F>, LaunchOptions>)
Child launch(const LaunchOptions& options, F&& fn, Args&&... args) {
  return value(tine::launch(options, std::forward<F>(fn), std::forward<Args>(args)...));
}
template <class F, class... Args>
  requires(!std::is_same_v<std::remove_cvref_t<F>, LaunchOptions>)
Child launch(F&& fn, Args&&... args) {
  return throwing::launch(LaunchOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace throwing
}  // namespace tine
