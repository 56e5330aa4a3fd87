// SPDX-License-Identifier: MIT
#include "os/shared_region.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "os/system_error.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; glibc 2.35
#endif

namespace tine::os {

std::expected<SharedRegion, Error> SharedRegion::reserve(std::size_t most, std::size_t least) {
  for (std::size_t size = most; size >= least && size > 0; size /= 2) {
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at != MAP_FAILED) return SharedRegion(static_cast<std::byte*>(at), size);
  }
  return failed(Stage::prepare, ENOMEM, std::to_string(least) + " bytes of shared memory");
}

SharedRegion::~SharedRegion() {
  if (at_ != nullptr) ::munmap(at_, size_);
}

int SharedRegion::populate(std::size_t offset, std::size_t size) const noexcept {
  return SharedPart(*this).populate(offset, size);
}

int SharedPart::populate(std::size_t offset, std::size_t size) const noexcept {
  const std::size_t all = bytes_.size();
  if (size > all || offset > all - size) return ENOMEM;
  if (size == 0) return 0;
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes_.data() + offset);
  const std::uintptr_t from = begin / kPage * kPage;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): rounded down to its page
  while (::madvise(reinterpret_cast<void*>(from), begin + size - from, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINVAL) return 0;
    if (errno != EINTR && errno != EAGAIN) return errno == EFAULT ? ENOMEM : errno;
  }
  return 0;
}

}  // namespace tine::os
