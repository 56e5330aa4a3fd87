// SPDX-License-Identifier: MIT

/// Waiting for many children: wait_any, wait_all and ChildSet.

#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>
#include <unordered_map>

#include "child/child_state.h"
#include "child/guardian.h"
#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/system_error.h"
#include "tine/child.h"

namespace tine {

using Clock = std::chrono::steady_clock;

namespace {

std::unexpected<Error> wait_error(ErrorKind kind, std::string subject) {
  return std::unexpected(Error{kind, 0, Stage::wait, std::move(subject), {}});
}

}  // namespace

std::expected<std::size_t, Error> wait_any(std::span<Child> children, const CancelToken& token) {
  // Only those that run: poll(2) refuses more entries than a process may have descriptors.
  std::vector<pollfd> watched{{token.fd(), POLLIN, 0}};
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (children[i].fd() < 0) continue;
    watched.push_back({children[i].fd(), POLLIN, 0});
    indices.push_back(i);
  }
  if (indices.empty()) return wait_error(ErrorKind::no_such_process, "any of the children");
  child::revive_guardian();
  while (::poll(watched.data(), watched.size(), -1) < 0) {
    if (errno != EINTR) return os::failed(Stage::wait, errno);
  }
  if (watched[0].revents != 0) return wait_error(ErrorKind::cancelled, "any of the children");
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (watched[i + 1].revents == 0) continue;
    auto done = children[indices[i]].wait();
    if (!done) return std::unexpected(done.error());
    return indices[i];
  }
  return wait_error(ErrorKind::system, "any of the children");
}

std::vector<std::expected<Finished, Error>> wait_all(std::span<Child> children,
                                                     const CancelToken& token) {
  std::vector<std::expected<Finished, Error>> answers;
  answers.reserve(children.size());
  for (auto& child : children) answers.push_back(child.wait(token));
  return answers;
}

struct ChildSet::State {
  Fd epoll;
  std::unordered_map<int, Child> by_fd;

  std::expected<void, Error> watch(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
    return os::failed(Stage::wait, errno, "a set of children");
  }

  std::expected<void, Error> prepare() {
    if (epoll) return {};
    epoll = os::above_stdio(Fd{::epoll_create1(EPOLL_CLOEXEC)});
    if (!epoll) return os::failed(Stage::wait, errno, "a set of children");
    os::note_own(epoll.get());
    return {};
  }

  /// The fd of the next child that has ended, -1 when the time is up.
  int next_ended(os::Deadline deadline, const CancelToken& token) {
    if (os::poll_pidfd(epoll.get(), token.fd(), deadline) != os::PidfdWait::ended) return -1;
    epoll_event event{};
    while (::epoll_wait(epoll.get(), &event, 1, 0) < 0 && errno == EINTR) {
    }
    return event.data.fd;
  }
};

ChildSet::ChildSet() : state_(std::make_unique<State>()) {}
ChildSet::ChildSet(ChildSet&&) noexcept = default;
ChildSet& ChildSet::operator=(ChildSet&&) noexcept = default;
ChildSet::~ChildSet() = default;

std::size_t ChildSet::size() const noexcept { return state_->by_fd.size(); }
int ChildSet::fd() const noexcept { return state_->epoll.get(); }

std::expected<void, Error> ChildSet::add(Child&& child) {
  if (child.fd() < 0) return wait_error(ErrorKind::no_such_process, "a child without a process");
  if (auto ready = state_->prepare(); !ready) return ready;
  if (auto watched = state_->watch(child.fd()); !watched) return watched;
  state_->by_fd.emplace(child.fd(), std::move(child));
  return {};
}

std::expected<std::optional<Child>, Error> ChildSet::next(const CancelToken& token) {
  return next_for(std::chrono::nanoseconds::max(), token);
}

std::expected<std::optional<Child>, Error> ChildSet::next_for(std::chrono::nanoseconds limit,
                                                              const CancelToken& token) {
  if (state_->by_fd.empty()) return std::nullopt;
  child::revive_guardian();
  const bool for_ever = limit == std::chrono::nanoseconds::max();
  const int fd = state_->next_ended(for_ever ? os::Deadline{} : os::deadline_after(limit), token);
  if (fd < 0 && token.cancelled()) return wait_error(ErrorKind::cancelled, "a set of children");
  if (fd < 0) return Child{};
  auto node = state_->by_fd.extract(fd);
  ::epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
  Child child = std::move(node.mapped());
  auto done = child.wait();
  if (!done) return std::unexpected(done.error());
  return child;
}

}  // namespace tine
