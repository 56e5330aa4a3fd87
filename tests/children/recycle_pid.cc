// SPDX-License-Identifier: MIT

// recycle_pid: reaps the child that this process has from the program it was before, makes another
// process with the same pid, prints "recycled" and sleeps for ever; "refused" when the system does
// not let it choose a pid.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <string>

namespace {

/// Source: /proc/sys/kernel/ns_last_pid, Linux 3.3
bool set_last_pid(pid_t pid) {
  const int file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
  const std::string text = std::to_string(pid);
  const bool done = file >= 0 && write(file, text.data(), text.size()) > 0;
  close(file);
  return done;
}

/// Start times are told in ticks of 10 ms: another process has a later one after two of them.
void let_ticks_pass() {
  const timespec pause{0, 30'000'000};
  nanosleep(&pause, nullptr);
}

bool recycle(pid_t wanted) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    if (!set_last_pid(wanted - 1)) return false;
    const pid_t pid = fork();
    if (pid == 0) {
      for (;;) pause();
    }
    if (pid == wanted) return true;
    kill(pid, SIGKILL);  // somebody else's fork came in between
    waitpid(pid, nullptr, 0);
  }
  return false;
}

}  // namespace

int main() {
  const pid_t old = waitpid(-1, nullptr, 0);
  let_ticks_pass();
  puts(old > 0 && recycle(old) ? "recycled" : "refused");
  fflush(stdout);
  for (;;) pause();
}
