// SPDX-License-Identifier: MIT
/// The parent of a map is killed (SIGKILL): how long until its busy workers, and what they have
/// started, are gone. Watched from outside, through pidfds.
///
///   map_orphans [--memory MIB] [--count N] [--rounds R]
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tine/tine.h>

#include "rounds.h"

namespace {

constexpr int kWorkers = 2;
constexpr int kProcesses = 2 * kWorkers;  // each worker has a child

/// What one worker does, and then its child: tells who it is, and never ends.
void be_busy(int report) {
  const pid_t self = getpid();
  if (write(report, &self, sizeof self) != sizeof self) _exit(1);
  for (;;) {
  }
}

void start_child(int report) {
  const pid_t child = fork();
  if (child != 0) return;
  const pid_t self = getpid();
  if (write(report, &self, sizeof self) != sizeof self) _exit(1);
  for (;;) pause();
}

[[noreturn]] void be_parent(int report) {
  const std::vector<int> items(kWorkers);
  const auto results = tine::map(items,
                                 [report](int) {
                                   start_child(report);
                                   be_busy(report);
                                 },
                                 {.workers = kWorkers});
  _exit(results.all_succeeded() ? 1 : 2);
}

pid_t parent = 0;
pollfd processes[kProcesses];

void prepare() {
  int report[2];
  if (pipe(report) != 0) bench::fail("pipe");
  parent = fork();
  if (parent < 0) bench::fail("fork");
  if (parent == 0) be_parent(report[1]);
  for (pollfd& process : processes) {
    pid_t pid = 0;
    if (read(report[0], &pid, sizeof pid) != sizeof pid) bench::fail("a worker says nothing");
    process = {static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0};
    if (process.fd < 0) bench::fail("pidfd_open");
  }
  close(report[0]);
  close(report[1]);
}

/// Until the last of them is gone.
void kill_parent() {
  kill(parent, SIGKILL);
  for (pollfd& process : processes) {
    if (poll(&process, 1, 10'000) != 1) bench::fail("a process outlives its map by 10 s");
  }
}

double clean_up_after(double elapsed) {
  for (const pollfd& process : processes) close(process.fd);
  waitpid(parent, nullptr, 0);
  return elapsed;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  double elapsed = 0;
  const auto once = [&] {
    const auto begin = std::chrono::steady_clock::now();
    kill_parent();
    elapsed =
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
  };
  bench::measure({{"tine", once, prepare, [&] { return clean_up_after(elapsed); }}}, options);
}
