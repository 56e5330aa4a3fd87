// SPDX-License-Identifier: MIT

/// A TCP server that echoes, in two variants: a child for each connection, and children made in
/// advance that share the listening socket. A thousand clients, some of which are slow, die in the
/// middle of a word or make the child that serves them crash.
///
/// Python:  socketserver.ForkingTCPServer      # zombies stay until the next client comes
/// Shell:   socat TCP-LISTEN:7777,fork EXEC:cat

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <tine/tine.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using tine::throwing::value;

namespace {

constexpr int kClients = 1000;
constexpr int kAtOnce = 8;
constexpr int kServersInAdvance = 4;

/// What the server tells of itself.
struct Board {
  std::atomic<int> passes{0};  ///< of its loop
  std::atomic<int> crashes{0};
};

// ---- The server ----

bool send_all(int connection, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

/// Echoes until the client closes or is gone.
void serve(int connection) {
  char block[4096];
  for (;;) {
    const ssize_t got = ::recv(connection, block, sizeof block, 0);
    if (got <= 0) return;
    const std::string_view text(block, static_cast<std::size_t>(got));
    if (text.starts_with("crash")) std::abort();
    if (!send_all(connection, text)) return;
  }
}

/// Reaps whoever has ended; nobody is waited for.
void reap(tine::ChildSet& children, Board& board) {
  for (;;) {
    const auto child = value(children.next_for(0ns));
    if (!child || !*child) return;
    if (!child->finished()->status.success()) ++board.crashes;
  }
}

void child_per_connection(const tine::Fd& listener, Board& board) {
  tine::ChildSet children;
  for (;; ++board.passes) {
    pollfd watched[]{{listener.get(), POLLIN, 0}, {children.fd(), POLLIN, 0}};
    if (::poll(watched, 2, -1) < 0) continue;
    reap(children, board);  // before anybody new is let in
    if ((watched[0].revents & POLLIN) == 0) continue;
    const tine::Fd connection{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (!connection) continue;  // that client has gone
    auto child = tine::launch([&] { serve(connection.get()); });
    if (child) value(children.add(std::move(*child)));  // else this client is turned away
  }
}

void pre_forked(const tine::Fd& listener, Board& board) {
  tine::ChildSet children;
  for (;; ++board.passes) {
    while (children.size() < kServersInAdvance) {
      value(children.add(value(tine::launch([&] {
        for (;;) {
          const tine::Fd connection{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
          if (connection) serve(connection.get());
        }
      }))));
    }
    // The kernel gives each connection to one of them. Here is only something to do when one ends.
    value(children.next());
    ++board.crashes;
  }
}

// ---- The clients ----

sockaddr_in local_address(in_port_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = port;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

class Client {
 public:
  explicit Client(in_port_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in address = local_address(port);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
  }
  void say(std::string_view text) {
    if (!send_all(socket_.get(), text)) throw std::runtime_error("cannot send");
  }
  /// `size` bytes, or fewer where the server closes.
  std::string hear(std::size_t size) {
    std::string text(size, '\0');
    const ssize_t got = ::recv(socket_.get(), text.data(), size, MSG_WAITALL);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }

 private:
  tine::Fd socket_;
};

/// Whether it went as this client may expect.
bool talk(int number, in_port_t port) {
  Client client(port);
  if (number % 100 == 70) {
    client.say("crash");
    return client.hear(1).empty();
  }
  const std::string text = "I am client " + std::to_string(number);
  client.say(text);
  if (number % 100 == 50) ::raise(SIGKILL);
  return client.hear(text.size()) == text;
}

// ---- Who looks on ----

/// Remembers the zombies of a server. Each process is one for a moment; one that is still there
/// when the server has been through its loop has been forgotten.
class ZombieWatch {
 public:
  ZombieWatch(pid_t server, const Board& board) : server_(server), board_(board) {}

  void look() {
    const int passes = board_.passes;
    const auto tree = value(tine::process_tree(server_));
    for (const tine::ProcessInfo& process : tree) {
      if (process.state != 'Z') continue;
      const auto [first, is_new] =
          seen_.try_emplace(std::pair(process.pid, process.start_ticks), passes);
      if (!is_new && passes > first->second + 2 * kServersInAdvance) ++stayed_;
    }
  }
  /// Until the server has as many children as it should have when nobody is connected.
  void wait_for_children(std::size_t count) {
    for (;; std::this_thread::sleep_for(1ms)) {
      look();
      const auto tree = value(tine::process_tree(server_));
      if (tree.size() != count + 1) continue;
      if (std::ranges::none_of(tree, [](const auto& one) { return one.state == 'Z'; })) return;
    }
  }
  [[nodiscard]] int stayed() const { return stayed_; }

 private:
  pid_t server_;
  const Board& board_;
  std::map<std::pair<pid_t, std::uint64_t>, int> seen_;
  int stayed_ = 0;
};

void show(const char* name, void (*server_loop)(const tine::Fd&, Board&), std::size_t at_rest) {
  tine::Fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address = local_address(0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), generic, size) != 0 || ::listen(listener.get(), 128) != 0 ||
      ::getsockname(listener.get(), generic, &size) != 0) {
    throw std::runtime_error("cannot listen");
  }
  tine::Shared<Board> board;
  tine::Child server = value(tine::launch([&] { server_loop(listener, *board); }));
  listener.reset();

  Client slow(address.sin_port);
  Client slower(address.sin_port);
  slow.say("so");
  slower.say("sl");

  ZombieWatch watch(server.pid(), *board);
  const auto results =
      tine::map(std::views::iota(0, kClients), [&](int n) { return talk(n, address.sin_port); },
                {.timeout = 60s,
                 .workers = kAtOnce,
                 .progress = [&](const tine::MapProgress&) { watch.look(); },
                 .progress_interval = 5ms});
  int served = 0;
  int died = 0;
  for (const auto& result : results) {
    served += result.value_or(false) ? 1 : 0;
    died += !result && result.error().cause == tine::Cause::signaled ? 1 : 0;
  }
  slow.say(" what");
  slower.say("owly");
  const bool both = slow.hear(7) == "so what" && slower.hear(6) == "slowly";
  {
    const Client gone = std::move(slow), too = std::move(slower);
  }
  watch.wait_for_children(at_rest);
  std::printf("%s: %d clients served, %d died, %d children of the server crashed\n", name, served,
              died, board->crashes.load());
  std::printf("  two slow clients all the while: %s\n", both ? "served too" : "not served");
  std::printf("  zombies that stayed: %d; children at the end: %zu\n", watch.stayed(), at_rest);
}

}  // namespace

int main() try {
  show("a child per connection", child_per_connection, 0);
  show("four children in advance", pre_forked, kServersInAdvance);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
