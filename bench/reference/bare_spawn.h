// SPDX-License-Identifier: MIT
/// The least that Linux asks for to start a program: no checks, no signal masks, no redirections
/// but descriptors 0 and 1. Every launcher in bench/ is measured against these functions. They end
/// the benchmark when anything fails; from threads they are not safe (one shared child stack).
#pragma once

#include <fcntl.h>
#include <linux/sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace bare {

[[noreturn]] inline void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

inline int check(int result, const char* what) {
  if (result < 0) die(what);
  return result;
}

/// What the child does: its argv (argv[0] is a path, nothing is searched) and its descriptors 0 and
/// 1, where -1 leaves the inherited one.
struct Plan {
  char* const* argv;
  int in = -1;
  int out = -1;
};

[[noreturn]] inline void become(const Plan& plan) {
  if (plan.in >= 0) dup2(plan.in, 0);
  if (plan.out >= 0) dup2(plan.out, 1);
  execve(plan.argv[0], plan.argv, environ);
  _exit(127);
}

inline void expect_zero(int code, const char* program) {
  if (code == 0) return;
  std::fprintf(stderr, "%s: wait status %d\n", program, code);
  std::exit(1);
}

inline void wait_for_pid(pid_t pid, const char* program) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) die("waitpid");
  }
  expect_zero(status, program);
}

/// Reaps the child behind `pidfd` and closes the descriptor.
inline void wait_for_pidfd(int pidfd, const char* program) {
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) < 0) {
    if (errno != EINTR) die("waitid");
  }
  close(pidfd);
  expect_zero(info.si_status, program);
}

inline pid_t start_vfork(const Plan& plan) {
  const pid_t pid = vfork();
  if (pid == 0) become(plan);  // NOLINT(clang-analyzer-unix.Vfork): dup2, execve, _exit alone
  return check(pid, "vfork");
}

inline pid_t start_fork(const Plan& plan) {
  const pid_t pid = fork();
  if (pid == 0) become(plan);
  return check(pid, "fork");
}

inline pid_t start_posix_spawn(const Plan& plan) {
  pid_t pid = 0;
  errno = posix_spawn(&pid, plan.argv[0], nullptr, nullptr, plan.argv, environ);
  if (errno != 0) die("posix_spawn");
  return pid;
}

/// clone3 with a stack for the child. In assembly, because a child that shares its parent's memory
/// must not return through its parent's frames: syscall(2) keeps its return address there.
inline long clone3_calling(clone_args& args, void (*child)(void*), void* data) {
#if defined(__x86_64__)
  long result = SYS_clone3;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "mov %[data], %%rdi\n\t"
      "call *%[child]\n\t"
      "ud2\n"
      "1:"
      : "+a"(result)
      : "D"(&args), "S"(sizeof args), [child] "r"(child), [data] "r"(data)
      : "rcx", "r11", "memory", "cc");
  return result;
#elif defined(__aarch64__)
  register long number asm("x8") = SYS_clone3;
  register long result asm("x0") = reinterpret_cast<long>(&args);
  register long size asm("x1") = sizeof args;
  asm volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x0, %[data]\n\t"
      "blr %[child]\n\t"
      "brk 0\n"
      "1:"
      : "+r"(result)
      : "r"(size), "r"(number), [child] "r"(child), [data] "r"(data)
      : "x30", "memory", "cc");
  return result;
#else
#error "the reference knows x86_64 and aarch64"
#endif
}

/// Returns the pidfd of the started child.
inline int start_clone3(const Plan& plan) {
  alignas(16) static char stack[16 * 1024];
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<std::uintptr_t>(stack);
  args.stack_size = sizeof stack;
  const auto child = [](void* data) { become(*static_cast<const Plan*>(data)); };
  const long pid = clone3_calling(args, child, const_cast<Plan*>(&plan));
  if (pid < 0) {
    errno = static_cast<int>(-pid);
    die("clone3");
  }
  return pidfd;
}

}  // namespace bare
