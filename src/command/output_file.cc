// SPDX-License-Identifier: MIT

/// The unlinked files that hold the output of jobs, and copying them out inside the kernel.

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/io.h"
#include "os/pidfd.h"
#include "os/system_error.h"
#include "tine/batch.h"

namespace tine {

namespace {

/// For file systems without O_TMPFILE: overlayfs before 6.1, NFS.
int open_and_unlink(const std::filesystem::path& dir) {
  std::string path = (dir / "tine-output-XXXXXX").native();
  const int fd = ::mkostemp(path.data(), O_APPEND | O_CLOEXEC);
  if (fd >= 0) ::unlink(path.c_str());
  return fd;
}

enum class Method : unsigned char { copy_file_range, sendfile, read_write };

bool is_refusal(int error) {
  return error == EINVAL || error == EXDEV || error == ENOSYS || error == EOPNOTSUPP ||
         error == EBADF || error == ETXTBSY || error == EPERM;
}

/// One step. Gives the bytes moved, 0 at the end of the file, -1 with errno.
ssize_t copy_step(Method method, int from, off_t& at, int to, std::size_t left) {
  constexpr std::size_t kMostInKernel = 1 << 30;
  if (method == Method::copy_file_range) {
    return ::copy_file_range(from, &at, to, nullptr, std::min(left, kMostInKernel), 0);
  }
  if (method == Method::sendfile) return ::sendfile(to, from, &at, std::min(left, kMostInKernel));
  char block[65536];
  ssize_t got;
  do {
    got = ::pread(from, block, std::min(left, sizeof block), at);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return got;
  const ssize_t put = os::write_retry(to, block, static_cast<std::size_t>(got));
  if (put > 0) at += put;
  return put;
}

/// Small outputs are read and written: setting up a copy in the kernel costs more than 64 KiB.
Method first_method(int to, std::uint64_t size) {
  constexpr std::uint64_t kSmall = 65536;
  if (size <= kSmall) return Method::read_write;
  struct stat target{};
  if (::fstat(to, &target) != 0) return Method::read_write;
  const int flags = ::fcntl(to, F_GETFL);
  const bool appends = flags >= 0 && (flags & O_APPEND) != 0;  // both calls refuse it
  if (S_ISREG(target.st_mode)) return appends ? Method::read_write : Method::copy_file_range;
  return Method::sendfile;
}

bool wait_writable(int fd, const std::function<bool()>& wait) {
  if (wait) return wait();
  pollfd watched{fd, POLLOUT, 0};
  ::poll(&watched, 1, -1);
  return true;
}

}  // namespace

std::expected<OutputFile, Error> OutputFile::create(const std::filesystem::path& dir) {
  constexpr mode_t kOwnerOnly = 0600;
  // Appending: emptied for another job, it begins at its beginning, wherever the last one had gone.
  int fd = ::open(dir.c_str(), O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC | O_EXCL, kOwnerOnly);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    fd = open_and_unlink(dir);
  }
  Fd file = os::above_stdio(Fd{fd});
  if (!file) {
    Error error = os::make_error(Stage::open, errno, "a temporary file in " + dir.native());
    if (error.hint.empty())
      error.hint = "set TMPDIR, or --tmpdir of `tine run`, to another directory";
    return std::unexpected(std::move(error));
  }
  OutputFile made;
  made.file_ = std::move(file);
  return made;
}

/// The first name of a file without a name is its place in /proc. Without /proc the job shares our
/// open file, and nothing is known of who else has it.
Fd OutputFile::open_for_job() const {
  const std::string path = "/proc/self/fd/" + std::to_string(file_.get());
  return os::above_stdio(Fd{::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC)});
}

/// A write lease is granted to a file's only opener. Source: fcntl(2), F_SETLEASE
bool OutputFile::is_ours_alone() const noexcept {
  if (::fcntl(file_.get(), F_SETLEASE, F_WRLCK) != 0) return false;
  ::fcntl(file_.get(), F_SETLEASE, F_UNLCK);
  return true;
}

std::uint64_t OutputFile::size() const noexcept {
  if (final_size_) return *final_size_;
  struct stat file{};
  if (!file_ || ::fstat(file_.get(), &file) != 0) return 0;
  return static_cast<std::uint64_t>(file.st_size);
}

std::expected<std::uint64_t, Error> OutputFile::copy_to(int fd,
                                                        const std::function<bool()>& wait) const {
  const std::uint64_t size = this->size();
  if (size == 0) return 0;
  const os::NoWriteSignals guard;
  Method method = first_method(fd, size);
  off_t at = 0;
  while (static_cast<std::uint64_t>(at) < size) {
    const ssize_t moved =
        copy_step(method, file_.get(), at, fd, static_cast<std::size_t>(size) - at);
    if (moved > 0) continue;
    if (moved == 0 && method == Method::read_write) break;  // it has been cut short meanwhile
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && errno == EAGAIN) {
      if (!wait_writable(fd, wait)) {
        return std::unexpected(Error{.kind = ErrorKind::cancelled, .stage = Stage::write});
      }
    } else if (method != Method::read_write && (moved == 0 || is_refusal(errno))) {
      method = Method::read_write;
    } else {
      return os::failed(Stage::write, errno, "descriptor " + std::to_string(fd));
    }
  }
  return static_cast<std::uint64_t>(at);
}

namespace {

std::string read_range(int fd, std::uint64_t from, std::uint64_t size) {
  std::string text(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got =
        ::pread(fd, text.data() + filled, size - filled, static_cast<off_t>(from + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

}  // namespace

std::string OutputFile::read(std::size_t limit) const {
  return read_range(file_.get(), 0, std::min<std::uint64_t>(size(), limit));
}

std::string OutputFile::tail(std::size_t limit) const {
  const std::uint64_t all = size();
  const std::uint64_t wanted = std::min<std::uint64_t>(all, limit);
  return read_range(file_.get(), all - wanted, wanted);
}

}  // namespace tine
