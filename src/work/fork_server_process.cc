// SPDX-License-Identifier: MIT
#include "work/fork_server_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "child/proxy.h"
#include "os/event_loop.h"
#include "os/futex.h"
#include "os/own_fds.h"
#include "os/pidfd.h"
#include "work/elsewhere.h"

namespace tine::work {

namespace {

// ---- The server ----

class Server {
 public:
  Server(ForkServerBoard& board, const Fd& requests, const Fd& host) noexcept
      : board_(board), requests_(requests.get()), host_(host.get()) {}

  int run() {
    const auto serve = [this] {
      board_.idle.store(false);
      on_request();
      board_.idle.store(true);
    };
    const bool watched = loop_.watch(requests_, EPOLLIN, serve).has_value() &&
                         loop_.watch(host_, EPOLLIN, [this] { over_ = true; }).has_value();
    board_.idle.store(true);
    while (watched && !over_) loop_.run_once();
    return watched ? 0 : 1;
  }

 private:
  /// What each child was asked for by is kept until it has ended.
  struct Made {
    Child child;
    Fd reports;
  };
  /// Before the descriptors of the order.
  enum Ends : std::size_t { kReports, kGate, kOrder };

  void on_request() {
    std::vector<Fd> some;
    auto received = receive_order(requests_, &some);
    if (!received) {
      over_ = received.error() == ECONNRESET;
      if (!some.empty()) child::tell_birth(some[kReports].get(), 0, -1, EMFILE);
      return;
    }
    auto& fds = received->message.fds;
    if (fds.size() < kOrder) return;
    Fd reports = os::above_stdio(std::move(fds[kReports]));
    Fd gate = std::move(fds[kGate]);
    fds.erase(fds.begin(), fds.begin() + kOrder);
    os::note_own(reports.get());
    const LaunchOptions how{.inherit_stdin = true,  // the order brings one
                            .leave_descendants = received->leave_descendants()};
    auto child = child::launch_for_host(how, std::move(gate),
                                        [&] { return run_order(std::move(*received)); });
    board_.served.fetch_add(1);
    if (!child) {
      child::tell_birth(reports.get(), 0, -1, std::max(1, child.error().errno_value));
      return;
    }
    const int pidfd = child->fd();
    child::tell_birth(reports.get(), child->pid(), pidfd, 0);
    const auto made = made_.emplace(pidfd, Made{std::move(*child), std::move(reports)}).first;
    if (!loop_.watch(pidfd, EPOLLIN, [this, pidfd] { on_ended(pidfd); })) {
      // Without memory to watch it, it is ended here and now.
      made_.erase(made);
    }
  }

  void on_ended(int pidfd) {
    const auto made = made_.find(pidfd);
    loop_.unwatch(pidfd);
    if (const auto finished = made->second.child.wait()) {
      child::tell_end(made->second.reports.get(), *finished);
    }
    made_.erase(made);
  }

  ForkServerBoard& board_;
  const int requests_;
  const int host_;
  os::EventLoop loop_{};
  std::map<int, Made> made_{};
  bool over_ = false;
};

void write_reason(ForkServerBoard& board, std::string_view text) noexcept {
  const std::size_t size = std::min(text.size(), board.reason.size() - 1);
  std::memcpy(board.reason.data(), text.data(), size);
  board.reason[size] = '\0';
}

constexpr int kPreloadFailed = 70;

bool preload(ForkServerBoard& board, const ForkServerOptions& options) {
  if (options.preload == nullptr) return true;
  write_reason(board, "its preload ended the process");
  try {
    options.preload();
  } catch (const std::exception& exception) {
    write_reason(board, std::string("its preload failed: ") + exception.what());
    return false;
  } catch (...) {
    write_reason(board, "its preload threw something that is no std::exception");
    return false;
  }
  const bool alone = child::single_threaded();
  write_reason(board,
               alone ? "" : "its preload left threads running, beside which nobody can fork");
  return alone;
}

int run_server(ForkServerBoard& board, const Fd& requests, const Fd& host,
               const ForkServerOptions& options, pid_t keeper) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper) return 0;  // it died before that
  if (!preload(board, options)) return kPreloadFailed;
  for (const Fd* fd : {&requests, &host}) os::note_own(fd->get());
  return Server(board, requests, host).run();
}

// ---- The keeper ----

/// Until the server has ended, or nobody needs one any more: false.
bool wait_for_server(const Child& server, const Fd& requests, const Fd& host) noexcept {
  pollfd watched[3] = {{server.fd(), POLLIN, 0}, {host.get(), POLLIN, 0}, {requests.get(), 0, 0}};
  while (::poll(watched, 3, -1) < 0) {  // EINTR
  }
  return watched[1].revents == 0 && watched[2].revents == 0;
}

}  // namespace

int run_fork_server_keeper(ForkServerBoard& board, Fd requests, Fd host,
                           const ForkServerOptions& options) {
  constexpr int kMostInVain = 3;
  const pid_t self = ::getpid();
  const LaunchOptions how{.grace = std::chrono::milliseconds(0), .name = "tine-server"};
  for (int in_vain = 0; in_vain < kMostInVain;) {
    const std::uint64_t served = board.served.load();
    board.idle.store(false);
    auto server = child::launch_for_host(
        how, {}, [&] { return run_server(board, requests, host, options, self); });
    if (!server) {
      write_reason(board, server.error().to_string());
      return 1;
    }
    board.server.store(server->pid());
    if (board.forked.exchange(1) == 0) os::futex_wake_all(&board.forked);
    if (!wait_for_server(*server, requests, host)) {
      [[maybe_unused]] const auto ended = server->terminate(std::chrono::milliseconds(0));
      return 0;
    }
    board.server.store(0);
    [[maybe_unused]] const auto ended = server->wait();
    // A server that had nothing to do did not die of what it did.
    in_vain = board.idle.load() || board.served.load() != served ? 0 : in_vain + 1;
  }
  return 1;
}

}  // namespace tine::work
