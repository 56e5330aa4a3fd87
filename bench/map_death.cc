// SPDX-License-Identifier: MIT
/// A worker dies (SIGKILL) of its item: how long until a fresh one runs the next item. Through
/// tine, and with the bare system calls: pidfd, epoll, waitid, fork.
///
///   map_death [--memory MIB] [--count N] [--rounds R] [--variants bare,tine]
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tine/tine.h>

#include "rounds.h"

namespace {

/// Shared with the workers: nanoseconds.
struct Times {
  std::int64_t died;
  std::int64_t next_item;
};
Times* times = nullptr;

std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

double between() { return static_cast<double>(times->next_item - times->died); }

void die() {
  times->died = now();
  kill(getpid(), SIGKILL);
}

template <class Main>
void bare_worker(int epoll, const Main& main) {
  const pid_t pid = fork();
  if (pid < 0) bench::fail("fork");
  if (pid == 0) {
    main();
    _exit(0);
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  epoll_event event{};
  event.events = EPOLLIN;
  if (pidfd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, pidfd, &event) != 0) bench::fail("pidfd");
  if (epoll_wait(epoll, &event, 1, -1) != 1) bench::fail("epoll_wait");
  siginfo_t ended{};
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd), &ended, WEXITED) != 0) bench::fail("waitid");
  close(pidfd);
}

void bare() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  bare_worker(epoll, die);
  bare_worker(epoll, [] { times->next_item = now(); });
  close(epoll);
}

void through_tine() {
  const std::vector<int> items{0, 1};
  const auto results = tine::map(items,
                                 [](int item) {
                                   if (item == 0) die();
                                   times->next_item = now();
                                   return item;
                                 },
                                 {.workers = 1});
  if (results[0] || !results[1]) bench::fail("not one death");
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  void* const shared =
      mmap(nullptr, sizeof(Times), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) bench::fail("mmap");
  times = static_cast<Times*>(shared);
  bench::measure({{"bare", bare, {}, between}, {"tine", through_tine, {}, between}}, options);
}
