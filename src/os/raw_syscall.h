// SPDX-License-Identifier: MIT
#pragma once

/// System calls without libc: no errno, no locks, no cancellation points, no instrumentation.
/// For code between clone and exec, for young children, where each part of libc is a page fault,
/// and for the guardian, which has no libc at all. A result in -4095..-1 is a negated errno.
/// Source: syscall(2), "Architecture calling conventions"

namespace tine::os {

#if defined(__x86_64__)

inline long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                        long f = 0) noexcept {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

inline long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                        long f = 0) noexcept {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc 0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
}

#else
#error "tine knows the system call conventions of x86_64 and aarch64 alone"
#endif

inline bool raw_failed(long result) noexcept { return result < 0 && result > -4096; }

template <class T>
long as_word(T* pointer) noexcept {
  return reinterpret_cast<long>(pointer);
}

}  // namespace tine::os
