// SPDX-License-Identifier: MIT
#pragma once

/// Memory of this process that every forked child sees as zeros.
/// Source: madvise(2), MADV_WIPEONFORK, Linux 4.14

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>

namespace tine::os {

/// Null, and errno, where the kernel refuses; some sandboxes do.
inline void* map_wiped_pages(std::size_t size) noexcept {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  if (::madvise(at, size, MADV_WIPEONFORK) == 0) return at;
  const int refused = errno;
  ::munmap(at, size);
  errno = refused;
  return nullptr;
}

}  // namespace tine::os
