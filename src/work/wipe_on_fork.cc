// SPDX-License-Identifier: MIT
#include "tine/wipe_on_fork.h"

#include <string.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <utility>

#include "os/fork_generation.h"
#include "os/system_error.h"
#include "os/wiped_pages.h"

namespace tine::detail {

namespace {

std::unexpected<Error> no_secret_pages(int errno_value, std::size_t size, const char* what) {
  Error error = os::make_error(Stage::prepare, errno_value, std::to_string(size) + " secret bytes");
  if (errno_value != ENOMEM) error.hint = std::string("this system cannot ") + what;
  return std::unexpected(std::move(error));
}

}  // namespace

std::expected<SecretPages, Error> SecretPages::create(std::size_t size) {
  void* const at = os::map_wiped_pages(size);
  if (at == nullptr) {
    return no_secret_pages(errno, size, "wipe memory on a fork (MADV_WIPEONFORK, Linux 4.14)");
  }
  SecretPages pages(at, size, os::fork_generation());
  if (::madvise(at, size, MADV_DONTDUMP) != 0) {
    return no_secret_pages(errno, size,
                           "leave memory out of core dumps (MADV_DONTDUMP, Linux 3.4)");
  }
  return pages;
}

SecretPages::~SecretPages() {
  if (at_ == nullptr) return;
  ::explicit_bzero(at_, size_);
  ::munmap(at_, size_);
}

bool SecretPages::wiped() const noexcept { return generation_ != os::fork_generation(); }

}  // namespace tine::detail
