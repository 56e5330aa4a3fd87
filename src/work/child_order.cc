// SPDX-License-Identifier: MIT
#include "work/child_order.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "os/io.h"
#include "os/message.h"
#include "os/pidfd.h"
#include "os/system_error.h"
#include "tine/codec.h"
#include "work/call_order.h"
#include "work/child_errors.h"
#include "work/crash_report.h"
#include "work/elsewhere.h"
#include "work/host_code.h"
#include "work/pool_order.h"

namespace tine::work {

namespace {

/// Less than what a socket takes in one message, by default.
constexpr std::size_t kMostInMessage = std::size_t{64} << 10;
/// Before the order, or alone: then the order is in the file that comes last.
constexpr std::byte kInFile{1};
constexpr std::byte kLeaveDescendants{2};

std::expected<Fd, int> in_file(std::span<const std::byte> bytes) {
  Fd file = os::above_stdio(Fd{::memfd_create("tine-order", MFD_CLOEXEC)});
  if (!file) return std::unexpected(errno);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const os::NoWriteSignals quiet;
  if (const int error = os::write_all(file.get(), text)) return std::unexpected(error);
  return file;
}

std::expected<std::vector<std::byte>, int> from_file(int file) {
  struct stat found{};
  if (::fstat(file, &found) != 0) return std::unexpected(errno);
  std::vector<std::byte> bytes(static_cast<std::size_t>(found.st_size));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t got =
        ::pread(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (got <= 0) return std::unexpected(got < 0 ? errno : EIO);
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace

int send_order(int socket, const ChildOrder& order, std::span<const int> fds, os::Deadline until,
               int other) {
  const auto encoded = encode(order);
  if (!encoded) return EINVAL;
  std::vector<std::byte> message{order.leave_descendants ? kLeaveDescendants : std::byte{0}};
  std::vector<int> passed(fds.begin(), fds.end());
  Fd file;
  if (encoded->size() <= kMostInMessage) {
    message.insert(message.end(), encoded->begin(), encoded->end());
  } else {
    auto made = in_file(*encoded);
    if (!made) return made.error();
    file = std::move(*made);
    message.front() |= kInFile;
    passed.push_back(file.get());
  }
  return os::send_message(socket, message, passed, until, other);
}

bool ReceivedOrder::leave_descendants() const noexcept {
  return (message.bytes.front() & kLeaveDescendants) != std::byte{0};
}

std::expected<ReceivedOrder, int> receive_order(int socket, std::vector<Fd>* some) {
  auto message = os::receive_message(socket);
  if (!message) return std::unexpected(message.error());
  if (message->bytes.empty()) return std::unexpected(ECONNRESET);
  if (message->cut) {
    if (some != nullptr) *some = std::move(message->fds);
    return std::unexpected(EMFILE);
  }
  return ReceivedOrder{std::move(*message)};
}

std::expected<void, Error> add_code(ChildOrder& order, Code function) {
  const auto address = reinterpret_cast<std::uint64_t>(function);
  const bool known =
      std::ranges::find(order.code, address, &CodeOfHost::address) != order.code.end();
  if (function == nullptr || known) return {};
  auto place = place_of(function);
  if (!place) return std::unexpected(std::move(place.error()));
  order.code.push_back({address, std::move(*place)});
  return {};
}

// ---- In the child ----

namespace {

/// The descriptors that any process has become its own; what is left are those of its kind.
std::vector<Fd> settle(const ChildOrder& order, std::vector<Fd> fds) {
  for (Fd& fd : fds) fd = os::above_stdio(std::move(fd));          // where we have no 0, 1 or 2
  [[maybe_unused]] const int there = ::fchdir(fds[kCwdFd].get());  // or it stays where it is
  ::dup2(fds[kStdinFd].get(), STDIN_FILENO);
  ::dup2(fds[kStdoutFd].get(), STDOUT_FILENO);
  ::dup2(fds[kStderrFd].get(), STDERR_FILENO);
  fds.erase(fds.begin(), fds.begin() + kOwnFds);
  if (!order.name.empty()) ::prctl(PR_SET_NAME, order.name.c_str());
  return fds;
}

std::expected<ChildOrder, int> read_order(os::Message& message) {
  const std::span<const std::byte> bytes(message.bytes);
  std::expected<ChildOrder, Error> order;
  if ((bytes.front() & kInFile) == std::byte{0}) {
    order = decode<ChildOrder>(bytes.subspan(1));
  } else {
    if (message.fds.empty()) return std::unexpected(EBADMSG);
    const auto read = from_file(message.fds.back().get());
    if (!read) return std::unexpected(read.error());
    message.fds.pop_back();
    order = decode<ChildOrder>(*read);
  }
  if (!order || message.fds.size() < kOwnFds) return std::unexpected(EBADMSG);
  return std::move(*order);
}

int could_not_begin(const char* why) noexcept {
  std::fprintf(stderr, "tine: a child could not begin: %s\n", why);
  return kBadOrder;
}

int do_order(os::Message message) {
  const auto read = read_order(message);
  if (!read) return could_not_begin(std::strerror(read.error()));  // NOLINT: one thread
  const ChildOrder& order = *read;
  std::vector<Fd> fds = settle(order, std::move(message.fds));
  prepare_crash_reports();
  std::optional<Error> unknown;
  for (const CodeOfHost& code : order.code) {
    if (auto learnt = learn_code(code); !learnt) unknown = std::move(learnt.error());
  }
  switch (order.kind) {
    case OrderKind::call: return run_call_order(order.body, std::move(fds), unknown);
    case OrderKind::pool_keeper: return run_keeper_order(order.body, std::move(fds), unknown);
    case OrderKind::pool_worker: return run_worker_order(order.body, std::move(fds), unknown);
  }
  return kBadOrder;
}

}  // namespace

int run_order(ReceivedOrder received) noexcept {
  try {
    return do_order(std::move(received.message));
  } catch (const std::exception& exception) {
    return could_not_begin(exception.what());
  }
}

}  // namespace tine::work
