// SPDX-License-Identifier: MIT
#pragma once

/// A C++ function in a forked child.
///
///     auto child = tine::launch([] { std::puts("in the child"); return 3; }).value();
///     child.wait().value().status.code();   // 3
///
/// The child ends when the function returns: the line after launch() never runs in it. An int is
/// the exit code, void is 0; an exception prints its type and text on stderr and exits 70.
/// In the child: destructors of the parent's objects never run, stdin is /dev/null, signals that
/// the host handles are back to default, and the library's own descriptors are closed.
/// Threads: a process with several threads is refused (threads_running), because a lock that
/// another thread holds at the fork is held for ever in the child.

#include <chrono>
#include <expected>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tine/child.h"
#include "tine/error.h"

namespace tine {

/// Whether a process with several threads may fork. `allow`: the function promises to call nothing
/// that takes a lock which another thread may hold.
enum class ThreadPolicy : unsigned char { refuse, allow };

struct LaunchOptions {
  std::chrono::nanoseconds timeout{0};  ///< 0: none; after it TERM, grace, KILL to the tree
  std::chrono::milliseconds grace{2000};
  std::string name{};  ///< shown by ps, at most 15 characters
  ThreadPolicy threads = ThreadPolicy::refuse;
  bool inherit_stdin = false;      ///< false: stdin is /dev/null
  bool leave_descendants = false;  ///< false: its own children die with it
  bool detach = false;             ///< true: outlives this process; see Command::detach
};

namespace detail {

/// Forks; in the child runs `body`, whose result is the exit code. Never returns in the child.
std::expected<Child, Error> launch_body(const LaunchOptions& options,
                                        const std::function<int()>& body);

template <class F, class Tuple>
int invoke_for_exit_code(F& fn, Tuple& args) {
  using R = decltype(std::apply(fn, std::move(args)));
  static_assert(std::is_void_v<R> || std::is_same_v<R, int>,
                "tine::launch: the function must return int (the exit code) or void; to bring "
                "a value back from a child, use tine::call");
  if constexpr (std::is_void_v<R>) {
    std::apply(fn, std::move(args));
    return 0;
  } else {
    return std::apply(fn, std::move(args));
  }
}

}  // namespace detail

/// Runs `fn(args...)` in a forked child. Nothing is copied or encoded: the child has the memory of
/// the parent as it is now.
///
/// Errors: threads_running, too_many_processes, out_of_memory, too_many_files, guardian.
/// Example: examples/launch_child.cc
template <class F, class... Args>
  requires(!std::is_same_v<std::remove_cvref_t<F>, LaunchOptions>)
[[nodiscard]] std::expected<Child, Error> launch(const LaunchOptions& options, F&& fn,
                                                 Args&&... args) {
  // References all: what is moved from is the child's copy.
  auto arguments = std::forward_as_tuple(std::forward<Args>(args)...);
  return detail::launch_body(
      options, [&fn, &arguments] { return detail::invoke_for_exit_code(fn, arguments); });
}

template <class F, class... Args>
  requires(!std::is_same_v<std::remove_cvref_t<F>, LaunchOptions>)
[[nodiscard]] std::expected<Child, Error> launch(F&& fn, Args&&... args) {
  return launch(LaunchOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace tine
