// SPDX-License-Identifier: MIT
#include "work/elsewhere.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/system_error.h"
#include "tine/command.h"

namespace tine::work {

namespace {

/// What a worker's command line says, with the number of the socket that its order comes from.
constexpr std::string_view kWorkerWord = "--tine-worker=3";
constexpr int kOrderSocket = 3;

std::atomic<bool> worker_entry_is_there{false};

/// The program that this process is, whatever has become of its name.
const char* own_program() noexcept {
  constexpr const char* kLink = "/proc/self/exe";
  if (::access(kLink, X_OK) == 0) return kLink;
  return reinterpret_cast<const char*>(::getauxval(AT_EXECFN));  // NOLINT: that is what it is
}

std::string own_name() {
  const auto* const name = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));  // NOLINT
  return name != nullptr ? name : "tine-worker";
}

/// 0, 1 or 2 of this process, or /dev/null where it has none.
int stdio_or(int number, int null) noexcept {
  return ::fcntl(number, F_GETFD) >= 0 ? number : null;
}

}  // namespace

bool has_worker_entry() noexcept { return worker_entry_is_there.load(); }

std::expected<Child, Error> spawn_order(const LaunchOptions& options, const ChildOrder& order,
                                        std::span<const int> fds) {
  if (!has_worker_entry()) {
    return std::unexpected(
        Error{ErrorKind::no_worker_entry, 0, Stage::prepare, "a worker",
              "begin main with: if (auto code = tine::worker_main(argc, argv)) return *code;"});
  }
  auto sockets = os::make_socket_pair();
  if (!sockets) return std::unexpected(sockets.error());
  // Before it is there: the message waits for it.
  if (const int error = send_order(sockets->ours.get(), order, fds)) {
    return os::failed(Stage::send, error, "a worker");
  }
  Command program{own_name(), kWorkerWord};
  program.program(own_program())
      .in(Redirect::null())
      .fd(kOrderSocket, Redirect::fd(sockets->theirs.get()))
      .process_group(ProcessGroup::own)
      .timeout(options.timeout)
      .grace(options.grace)
      .leave_descendants(options.leave_descendants);
  return program.start();
}

std::expected<Child, Error> start_elsewhere(StartMethod method, const LaunchOptions& options,
                                            ChildOrder order, int stderr_fd,
                                            std::span<const int> fds, const CancelToken& cancel) {
  const Fd here = os::above_stdio(Fd{::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)});
  const Fd null = os::above_stdio(Fd{::open("/dev/null", O_RDWR | O_CLOEXEC)});
  if (!null) return os::failed(Stage::open, errno, "/dev/null");
  order.name = options.name.empty() ? program_invocation_short_name : options.name;
  order.leave_descendants = options.leave_descendants;
  std::vector<int> passed(kOwnFds, null.get());
  if (here) passed[kCwdFd] = here.get();  // else fchdir() there fails, and says nothing
  if (options.inherit_stdin) passed[kStdinFd] = stdio_or(STDIN_FILENO, null.get());
  passed[kStdoutFd] = stdio_or(STDOUT_FILENO, null.get());
  passed[kStderrFd] = stdio_or(stderr_fd, null.get());
  passed.insert(passed.end(), fds.begin(), fds.end());
  if (method == StartMethod::fork_server) {
    auto child = ask_fork_server(options, order, passed, cancel);
    if (!child) return std::unexpected(std::move(child.error()));
    if (*child) return std::move(**child);
    if (!has_worker_entry()) return std::unexpected(fork_server_error());
  }
  return spawn_order(options, order, passed);
}

}  // namespace tine::work

namespace tine {

std::optional<int> worker_main(int argc, char** argv) {
  work::worker_entry_is_there.store(true);
  if (argc != 2 || argv[1] != work::kWorkerWord) return std::nullopt;
  Fd socket{work::kOrderSocket};
  auto received = work::receive_order(socket.get());
  socket.reset();  // nothing that the user's function starts is to have it
  if (!received) {
    std::fprintf(stderr, "tine: %s is for workers that tine starts: %s\n", argv[1],
                 os::make_error(Stage::read, received.error(), "an order").to_string().c_str());
    return work::kBadOrder;
  }
  return work::run_order(std::move(*received));
}

}  // namespace tine
