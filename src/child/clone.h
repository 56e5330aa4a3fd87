// SPDX-License-Identifier: MIT
#pragma once

/// The clone3 system call with a function to run in the child on a stack of its own.

#include <linux/sched.h>
#include <sys/syscall.h>

namespace tine::child {

/// Runs `body(argument)`, which must not return, in the child. Gives the pid or a negated errno.
///
/// The child starts with the registers of the parent and the stack of `args`, which is what a C
/// function cannot express: hence the assembly.
inline long clone3_and_run(clone_args& args, void (*body)(void*), void* argument) noexcept {
#if defined(__x86_64__)
  long result = SYS_clone3;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %[argument], %%rdi\n\t"
      "call *%[body]\n\t"
      "ud2\n"
      "1:"
      : "+a"(result)
      : "D"(&args), "S"(sizeof args), [body] "r"(body), [argument] "r"(argument)
      : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = SYS_clone3;
  register long x0 asm("x0") = reinterpret_cast<long>(&args);
  register long x1 asm("x1") = sizeof args;
  asm volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, #0\n\t"
      "mov x0, %[argument]\n\t"
      "blr %[body]\n\t"
      "brk #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), [body] "r"(body), [argument] "r"(argument)
      : "memory", "x30");
  return x0;
#endif
}

}  // namespace tine::child
