// SPDX-License-Identifier: MIT

// spawn_grandchild HOW...: makes a grandchild that sleeps for ever with our stdout, prints its pid
// and, unless told to wait, exits with 0. HOW is any of
//   group    the grandchild has a process group of its own
//   session  the grandchild has a session of its own
//   orphan   made through an intermediate that has exited
//   wait     waits for ever instead of exiting
//   deaf     the grandchild ignores TERM

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

namespace {

bool told(int argc, char** argv, const char* what) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], what) == 0) return true;
  }
  return false;
}

[[noreturn]] void grandchild(int argc, char** argv, int ready) {
  if (told(argc, argv, "group")) setpgid(0, 0);
  if (told(argc, argv, "session")) setsid();
  if (told(argc, argv, "deaf")) signal(SIGTERM, SIG_IGN);
  const int pid = getpid();
  if (write(ready, &pid, sizeof pid) != sizeof pid) _exit(1);
  close(ready);
  for (;;) pause();
}

}  // namespace

int main(int argc, char** argv) {
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    if (!told(argc, argv, "orphan")) grandchild(argc, argv, ends[1]);
    if (fork() == 0) grandchild(argc, argv, ends[1]);
    _exit(0);
  }
  int pid = 0;
  if (read(ends[0], &pid, sizeof pid) != sizeof pid) return 1;
  if (told(argc, argv, "orphan")) waitpid(child, nullptr, 0);
  printf("%d\n", pid);
  fflush(stdout);
  while (told(argc, argv, "wait")) pause();
}
