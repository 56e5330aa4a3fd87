// SPDX-License-Identifier: MIT

// print_identity: prints pid, ppid, pgid, sid, uid, gid, umask (octal), nice and cwd, one per line
// as name=value, then argv as argvN=word.

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const mode_t mask = umask(0);
  char cwd[4096];
  printf("pid=%d\nppid=%d\npgid=%d\nsid=%d\nuid=%d\ngid=%d\numask=%o\nnice=%d\ncwd=%s\n", getpid(),
         getppid(), getpgrp(), getsid(0), getuid(), getgid(), mask, getpriority(PRIO_PROCESS, 0),
         getcwd(cwd, sizeof cwd) != nullptr ? cwd : "");
  for (int i = 0; i < argc; ++i) printf("argv%d=%s\n", i, argv[i]);
}
