// SPDX-License-Identifier: MIT
#include "os/null_device.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <mutex>

#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/raw_fd.h"

namespace tine::os {
namespace {

/// Of the file that was opened: what has its number now may be another.
struct OpenNull {
  int number = -1;
  dev_t device = 0;
  ino_t inode = 0;
};

constinit OpenNull open_null;
/// Held for some microseconds. A child of a fork that found it held opens one for itself.
constinit std::mutex null_mutex;

bool null_is_open() noexcept {
  struct stat found{};
  return open_null.number >= 0 && ::fstat(open_null.number, &found) == 0 &&
         found.st_dev == open_null.device && found.st_ino == open_null.inode &&
         (::fcntl(open_null.number, F_GETFL) & O_ACCMODE) == O_RDONLY;
}

}  // namespace

int null_device() noexcept {
  const std::unique_lock lock(null_mutex, std::try_to_lock);
  if (!lock) return -1;
  if (null_is_open()) return open_null.number;
  strike_own(open_null.number);  // it is somebody else's by now, if anybody's
  open_null.number = -1;
  Fd opened = above_stdio(Fd{open_raw("/dev/null", O_RDONLY)});
  struct stat found{};
  if (!opened || ::fstat(opened.get(), &found) != 0) return -1;
  note_own(opened.get());
  open_null = {opened.release(), found.st_dev, found.st_ino};
  return open_null.number;
}

void open_null_device() noexcept {
  constexpr rlim_t kFew = 256;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < kFew) return;
  [[maybe_unused]] const int opened = null_device();
}

}  // namespace tine::os
