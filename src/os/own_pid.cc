// SPDX-License-Identifier: MIT
#include "os/own_pid.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

namespace tine::os {
namespace {

using Page = std::atomic<pid_t>;

/// Null when the kernel cannot wipe on fork: then every question goes to the kernel.
Page* make_page() noexcept {
  constexpr std::size_t kSize = 4096;
  void* at = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  if (::madvise(at, kSize, MADV_WIPEONFORK) == 0) return static_cast<Page*>(at);
  ::munmap(at, kSize);
  return nullptr;
}

}  // namespace

pid_t own_pid() noexcept {
  static Page* const page = make_page();
  if (page == nullptr) return ::getpid();
  const pid_t known = page->load(std::memory_order_relaxed);
  if (known != 0) return known;
  const pid_t self = ::getpid();
  page->store(self, std::memory_order_relaxed);
  return self;
}

}  // namespace tine::os
