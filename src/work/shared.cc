// SPDX-License-Identifier: MIT
#include "tine/shared.h"

#include <sys/mman.h>

#include <new>

#include "os/shared_region.h"

namespace tine {

detail::SharedPages::SharedPages(std::size_t size) {
  if (size == 0) return;
  auto region = os::SharedRegion::reserve(size, size);
  if (!region || region->populate(0, size) != 0) throw std::bad_alloc();
  size_ = region->size();
  at_ = region->release();
}

detail::SharedPages::~SharedPages() {
  if (at_ != nullptr) ::munmap(at_, size_);
}

}  // namespace tine
