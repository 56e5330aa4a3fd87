// SPDX-License-Identifier: MIT
#include "tine/fd.h"

#include <unistd.h>

#include <cerrno>

#include "os/own_fds.h"
#include "os/young_child.h"

namespace tine {

TINE_YOUNG_CHILD void Fd::reset(int number) noexcept {
  if (number_ == number) return;  // unwritten: a forked child copies each page that it writes to
  const int old = std::exchange(number_, number);
  if (old < 0) return;
  const int saved = errno;  // a destructor on an error path must not change what is being reported
  os::strike_own(old);      // before its number is another's
  ::close(old);
  errno = saved;
}

}  // namespace tine
