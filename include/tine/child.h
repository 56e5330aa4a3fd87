// SPDX-License-Identifier: MIT
#pragma once

/// A running child process, and waiting for one, any or all of many.
///
///     auto server = tine::Command{"server"}.start().value();
///     server.send(tine::Signal::hup);
///     tine::Finished done = server.wait().value();
///
/// The first child brings a guardian with it, a process that is no child of ours, except where this
/// process is itself a subreaper or PID 1: there a loop on wait() would meet it.
///
/// Owner: the handle owns the process. Its destructor sends TERM, waits for the grace, sends KILL
/// to the whole tree and reaps. Threads: one handle belongs to one thread at a time, except that
/// send() and pid() are safe beside a concurrent wait(). After fork: inert in every process but
/// the one that made it.

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tine/cancel.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine {

/// Any signal number; the usual ones by name.
enum class Signal : int {
  hup = SIGHUP,
  interrupt = SIGINT,
  quit = SIGQUIT,
  kill = SIGKILL,
  user1 = SIGUSR1,
  user2 = SIGUSR2,
  pipe = SIGPIPE,
  alarm = SIGALRM,
  terminate = SIGTERM,
  resume = SIGCONT,
  stop = SIGSTOP,
};

/// One step of ending a process: send `signal` to its tree, then wait `pause` for it to be gone.
/// After the last step comes KILL.
struct StopStep {
  Signal signal = Signal::terminate;
  std::chrono::milliseconds pause{2000};
};
using StopSequence = std::vector<StopStep>;

namespace detail {
struct ChildState;
struct ChildAccess;
}  // namespace detail

class Child {
 public:
  /// No child.
  Child() noexcept;
  Child(Child&&) noexcept;
  Child& operator=(Child&&) noexcept;
  ~Child();

  [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] pid_t pid() const noexcept;

  /// The pidfd: becomes readable when the child has ended; for foreign event loops.
  /// Source: pidfd_open(2), Linux 5.3
  [[nodiscard]] int fd() const noexcept;

  /// How it ended, once a wait has seen that.
  [[nodiscard]] const std::optional<Finished>& finished() const noexcept;

  /// The parent's end of a stream that was redirected to Redirect::pipe() or a pseudo-terminal:
  /// `number` is the fd as the child sees it. An empty Fd when there is none (or it was taken).
  [[nodiscard]] Fd& pipe(int number) noexcept;
  [[nodiscard]] Fd& in() noexcept { return pipe(0); }
  [[nodiscard]] Fd& out() noexcept { return pipe(1); }
  [[nodiscard]] Fd& err() noexcept { return pipe(2); }

  /// Sends `sig` to the child alone and returns without waiting.
  ///
  /// Requires: the child has not been reaped (checked).
  /// Errors:   no_such_process: it has ended; not_permitted: it changed its user id.
  /// Source:   pidfd_send_signal(2), Linux 5.1
  [[nodiscard]] std::expected<void, Error> send(Signal sig) const noexcept;

  /// Sends `sig` to the child and to every descendant that is still attached to it.
  [[nodiscard]] std::expected<void, Error> send_tree(Signal sig) const;

  /// Waits for the end of the child and reaps it; asked again, gives the same answer.
  ///
  /// What the child left behind in its process group is killed first, unless the command said
  /// leave_descendants(). With a deadline given at the start, the child is ended when it passes.
  /// Errors: cancelled; reaped_elsewhere: the status went to another wait() of this process, or
  ///         the host ignores SIGCHLD, and the kernel could not say more; not_owner.
  [[nodiscard]] std::expected<Finished, Error> wait(const CancelToken& token = {});

  /// The same for at most `limit`; nothing when it still runs then.
  [[nodiscard]] std::expected<std::optional<Finished>, Error> wait_for(
      std::chrono::nanoseconds limit, const CancelToken& token = {});

  /// TERM to the tree, up to `grace` for all of it to end, then KILL; reaps.
  ///
  /// Errors: those of wait(); timed_out when even KILL has not ended it within a second
  ///         (uninterruptible sleep): the guardian keeps it on its list then.
  [[nodiscard]] std::expected<Finished, Error> terminate(std::chrono::milliseconds grace);
  [[nodiscard]] std::expected<Finished, Error> terminate();
  [[nodiscard]] std::expected<Finished, Error> terminate(std::span<const StopStep> steps);

  /// Whether the deadline given at the start has ended it.
  [[nodiscard]] bool timed_out() const noexcept;

  /// What it has used so far; final once it has been reaped.
  /// Errors: no_such_process, proc (no /proc, or hidepid).
  [[nodiscard]] std::expected<Usage, Error> usage() const;

 private:
  friend struct detail::ChildAccess;
  std::unique_ptr<detail::ChildState> state_;
};

/// Waits until one of `children` ends, reaps it and gives its index; those already reaped are
/// passed over. One poll(2) over all: for thousands in a loop use ChildSet.
///
/// Errors: no_such_process: none of them is running; cancelled; those of Child::wait.
[[nodiscard]] std::expected<std::size_t, Error> wait_any(std::span<Child> children,
                                                         const CancelToken& token = {});

/// Waits for all of them. One answer for each, in their order.
[[nodiscard]] std::vector<std::expected<Finished, Error>> wait_all(std::span<Child> children,
                                                                   const CancelToken& token = {});

/// Thousands of children in one wait, in the order in which they end.
///
///     tine::ChildSet running;
///     for (auto& c : commands) running.add(c.start().value());
///     while (auto child = running.next().value()) report(child->pid(), child->finished()->status);
class ChildSet {
 public:
  ChildSet();
  ChildSet(ChildSet&&) noexcept;
  ChildSet& operator=(ChildSet&&) noexcept;
  ~ChildSet();

  /// Errors: too_many_files, out_of_memory; the child stays the caller's then.
  [[nodiscard]] std::expected<void, Error> add(Child&& child);
  [[nodiscard]] std::size_t size() const noexcept;
  /// Readable when next() would not block, for an event loop of another library; -1 while nothing
  /// has been added.
  [[nodiscard]] int fd() const noexcept;

  /// The next child to end, reaped; nothing when the set is empty. Cost does not grow with size.
  [[nodiscard]] std::expected<std::optional<Child>, Error> next(const CancelToken& token = {});

  /// The same for at most `limit`; an empty Child when none has ended by then.
  [[nodiscard]] std::expected<std::optional<Child>, Error> next_for(std::chrono::nanoseconds limit,
                                                                    const CancelToken& token = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tine
