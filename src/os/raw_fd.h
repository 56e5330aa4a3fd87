// SPDX-License-Identifier: MIT
#pragma once

/// Descriptors without libc: for code between clone and exec, for the guardian, and for young
/// children, where each part of libc that is touched first is a page fault.

#include <fcntl.h>
#include <sys/syscall.h>

#include "os/raw_syscall.h"

namespace tine::os {

inline int open_raw(const char* path, int flags) noexcept {
  return static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, as_word(path), flags | O_CLOEXEC, 0));
}

inline void close_raw(int fd) noexcept { raw_syscall(SYS_close, fd); }

/// `target`, another number, becomes the same, and stays open across an exec. A negated errno if
/// not.
inline int copy_raw(int fd, int target) noexcept {
  return static_cast<int>(raw_syscall(SYS_dup3, fd, target, 0));
}

}  // namespace tine::os
