// SPDX-License-Identifier: MIT
#include "tine/fork_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "child/guardian.h"
#include "child/proxy.h"
#include "os/futex.h"
#include "os/io.h"
#include "os/message.h"
#include "os/own_fds.h"
#include "os/own_pid.h"
#include "os/pages.h"
#include "os/pidfd.h"
#include "os/shared_region.h"
#include "os/system_error.h"
#include "work/elsewhere.h"
#include "work/fork_server_process.h"

namespace tine::work {

namespace {

struct RunningServer {
  const pid_t owner = os::own_pid();
  Fd requests{};
  Child keeper{};
  child::GuardianSeat seat{};  ///< the keeper's: it ends with this process
  os::SharedRegion memory{};

  ~RunningServer() {
    if (owner != os::own_pid()) seat.abandon();
  }
  [[nodiscard]] ForkServerBoard& board() const noexcept {
    return *std::launder(reinterpret_cast<ForkServerBoard*>(memory.data()));
  }
  /// Until the first server has been forked, or there will be none.
  void await_server() const noexcept {
    constexpr auto kLook = std::chrono::milliseconds(20);  // whether the keeper is there
    while (board().forked.load() == 0 && !os::has_ended(keeper.fd())) {
      [[maybe_unused]] const bool woken =
          os::futex_wait_until(&board().forked, 0, std::chrono::steady_clock::now() + kLook);
    }
  }
  /// Whether anybody is there to answer.
  [[nodiscard]] bool is_heard() const noexcept {
    pollfd end{requests.get(), 0, 0};
    return ::poll(&end, 1, 0) == 0;
  }
};

std::mutex mutex;
std::shared_ptr<RunningServer> running;  ///< of this process, or of the one it was forked from

std::shared_ptr<RunningServer> server() {
  const std::lock_guard lock(mutex);
  return running && running->owner == os::own_pid() ? running : nullptr;
}

std::expected<std::shared_ptr<RunningServer>, Error> start_server(
    const ForkServerOptions& options) {
  auto made = std::make_shared<RunningServer>();
  static_assert(sizeof(ForkServerBoard) <= os::kPage);
  auto memory = os::SharedRegion::reserve(os::kPage, os::kPage);
  if (!memory) return std::unexpected(memory.error());
  made->memory = std::move(*memory);
  new (made->memory.data()) ForkServerBoard;
  auto sockets = os::make_socket_pair();
  if (!sockets) return std::unexpected(sockets.error());
  made->requests = std::move(sockets->ours);
  Fd host = os::above_stdio(os::open_pidfd(::getpid()));
  if (!host) return os::failed(Stage::fork, errno, "a fork server");
  auto seat = child::reserve_guardian_seat();
  if (!seat) return std::unexpected(seat.error());
  made->seat = std::move(*seat);
  // Detached: a host that waits for all of its children must not wait for this one.
  const LaunchOptions how{.name = "tine-keeper", .threads = options.threads, .detach = true};
  auto keeper = detail::launch_body(how, [&] {
    made->requests.reset();
    return run_fork_server_keeper(made->board(), std::move(sockets->theirs), std::move(host),
                                  options);
  });
  if (!keeper) return std::unexpected(keeper.error());
  made->seat.slot()->group.store(-1);
  made->seat.slot()->pid.store(keeper->pid());
  made->seat.child_started();
  made->keeper = std::move(*keeper);
  os::note_own(made->requests.get());
  made->await_server();
  return made;
}

Error lost(std::string hint) {
  return {ErrorKind::fork_server_lost, 0, Stage::fork, "a function", std::move(hint)};
}

std::unexpected<Error> refused(int errno_value) {
  return os::failed(Stage::fork, errno_value, "a function, by the fork server");
}

/// One request. Errors: with ECONNRESET: the server died of it, or beside it.
std::expected<Child, Error> request(const RunningServer& from, const LaunchOptions& options,
                                    const ChildOrder& order, std::span<const int> fds,
                                    os::Deadline until, int cancel) {
  auto reports = os::make_socket_pair();
  if (!reports) return std::unexpected(reports.error());
  auto gate = os::make_pipe();
  if (!gate) return std::unexpected(gate.error());
  auto seat = child::reserve_guardian_seat();
  if (!seat) return std::unexpected(seat.error());
  os::note_own(reports->ours.get());
  os::note_own(gate->write.get());
  std::vector<int> passed{reports->theirs.get(), gate->read.get()};
  passed.insert(passed.end(), fds.begin(), fds.end());
  if (const int error = send_order(from.requests.get(), order, passed, until, cancel)) {
    return refused(error);
  }
  reports->theirs.reset();
  gate->read.reset();
  auto newborn = child::await_birth(reports->ours.get(), until, cancel);
  if (!newborn) return refused(newborn.error());
  return child::adopt(options, std::move(*newborn), std::move(*seat), std::move(reports->ours),
                      std::move(gate->write));
}

}  // namespace

std::expected<std::optional<Child>, Error> ask_fork_server(const LaunchOptions& options,
                                                           const ChildOrder& order,
                                                           std::span<const int> fds,
                                                           const CancelToken& cancel) {
  const auto asked = server();
  if (!asked) return std::nullopt;
  const os::Deadline until =
      options.timeout.count() > 0 ? os::deadline_after(options.timeout) : os::Deadline{};
  for (;;) {
    auto child = request(*asked, options, order, fds, until, cancel.fd());
    if (child) return std::move(*child);
    switch (Error& error = child.error(); error.errno_value) {
      case ECONNRESET:
        // The keeper makes another one, and nothing of ours has run: once more.
        if (asked->is_heard()) continue;
        return std::nullopt;
      case EPIPE: return std::nullopt;
      case ETIMEDOUT:
      case ECANCELED:
        error.hint = "it has not answered: " + std::to_string(asked->board().server.load()) +
                     " is stopped, busy or in its preload";
        [[fallthrough]];
      default: return std::unexpected(std::move(error));
    }
  }
}

Error fork_server_error() {
  const auto asked = server();
  if (!asked) return lost("call tine::ForkServer::start() first thing in main");
  const char* const reason = asked->board().reason.data();
  return lost(*reason != '\0' ? reason
                              : "its keeper was killed; with tine::worker_main() in main children "
                                "would be spawned instead");
}

}  // namespace tine::work

namespace tine {

using work::server;

std::expected<void, Error> ForkServer::start(const ForkServerOptions& options) {
  if (is_running()) return {};
  auto made = work::start_server(options);
  if (!made) return std::unexpected(made.error());
  const std::lock_guard lock(work::mutex);
  work::running = std::move(*made);
  return {};
}

bool ForkServer::is_running() noexcept {
  const auto asked = server();
  return asked && asked->is_heard();
}

void ForkServer::stop() {
  auto asked = server();
  if (!asked) return;
  {
    const std::lock_guard lock(work::mutex);
    work::running.reset();
  }
  ::shutdown(asked->requests.get(), SHUT_RDWR);
  constexpr auto kInOrder = std::chrono::seconds(2);
  const auto until = os::deadline_after(kInOrder);
  if (os::poll_pidfd(asked->keeper.fd(), -1, until) == os::PidfdWait::ended) return;
  // It is stopped, say. The server goes with it.
  [[maybe_unused]] const auto killed = asked->keeper.send(Signal::kill);
}

pid_t ForkServer::server_pid() noexcept {
  const auto asked = server();
  return asked ? asked->board().server.load() : 0;
}

pid_t ForkServer::keeper_pid() noexcept {
  const auto asked = server();
  return asked && !os::has_ended(asked->keeper.fd()) ? asked->keeper.pid() : 0;
}

}  // namespace tine
