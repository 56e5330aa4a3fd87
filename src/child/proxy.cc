// SPDX-License-Identifier: MIT
#include "child/proxy.h"

#include <cerrno>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "child/child_state.h"
#include "os/io.h"
#include "os/message.h"
#include "os/own_fds.h"
#include "os/pidfd.h"

namespace tine::child {

using Clock = std::chrono::steady_clock;

namespace {

struct BirthReport {
  pid_t pid;
  int errno_value;
};
static_assert(std::is_trivially_copyable_v<Finished>, "its bytes are sent, within one program");

template <class T>
bool send(int socket, const T& report, std::span<const int> fds = {}) noexcept {
  return os::send_message(socket, std::as_bytes(std::span(&report, 1)), fds) == 0;
}

/// A report, and what came with it. Errors: ETIMEDOUT, ECANCELED, ECONNRESET, EBADMSG, or of the
/// socket.
template <class T>
std::expected<std::pair<T, std::vector<Fd>>, int> receive(int socket, os::Deadline until,
                                                          int other = -1) {
  switch (os::poll_pidfd(socket, other, until)) {
    case os::PidfdWait::ended: break;  // there is something, or will never be
    case os::PidfdWait::other_readable: return std::unexpected(ECANCELED);
    default: return std::unexpected(ETIMEDOUT);
  }
  auto message = os::receive_message(socket);
  if (!message) return std::unexpected(message.error());
  if (message->bytes.empty()) return std::unexpected(ECONNRESET);
  std::pair<T, std::vector<Fd>> received;
  if (message->bytes.size() != sizeof(T)) return std::unexpected(EBADMSG);
  std::memcpy(&received.first, message->bytes.data(), sizeof(T));
  received.second = std::move(message->fds);
  return received;
}

}  // namespace

bool tell_birth(int reports, pid_t pid, int pidfd, int errno_value) noexcept {
  const BirthReport birth{pid, errno_value};
  return pid > 0 ? send(reports, birth, std::span(&pidfd, 1)) : send(reports, birth);
}

bool tell_end(int reports, const Finished& finished) noexcept { return send(reports, finished); }

std::expected<Newborn, int> await_birth(int reports, os::Deadline until, int other) {
  auto received = receive<BirthReport>(reports, until, other);
  if (!received) return std::unexpected(received.error());
  auto& [birth, fds] = *received;
  if (birth.pid <= 0) return std::unexpected(birth.errno_value);
  if (fds.empty()) return std::unexpected(EMFILE);  // the pidfd did not fit into our table
  return Newborn{birth.pid, os::above_stdio(std::move(fds.front()))};
}

Child adopt(const LaunchOptions& options, Newborn child, GuardianSeat seat, Fd reports, Fd gate) {
  auto state = std::make_unique<detail::ChildState>();
  state->grace = options.grace;
  state->leave_descendants = options.leave_descendants;
  state->pid = state->group = child.pid;
  state->pidfd = std::move(child.pidfd);
  state->reports = std::move(reports);
  os::note_own(state->reports.get());
  state->seat = std::move(seat);
  state->seat.slot()->group.store(-1);
  state->seat.slot()->pid.store(child.pid);
  state->seat.child_started();
  state->started = Clock::now();
  if (options.timeout.count() > 0) {
    state->deadline = os::deadline_after(options.timeout);
    state->seat.set_deadline(options.timeout, options.grace);
  }
  // Should it be gone already, that shows by its end.
  [[maybe_unused]] const auto written = os::write_all(gate.get(), "g");
  return detail::ChildAccess::make(std::move(state));
}

std::optional<Finished> told_end(int reports) {
  constexpr auto kLimit = std::chrono::seconds(10);
  auto received = receive<Finished>(reports, Clock::now() + kLimit);
  if (!received) return std::nullopt;
  return received->first;
}

}  // namespace tine::child
