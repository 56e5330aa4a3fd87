// SPDX-License-Identifier: MIT
#include "work/child_errors.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "os/io.h"
#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/raw_fd.h"
#include "os/system_error.h"
#include "os/young_child.h"

namespace tine::work {

namespace {

constexpr off_t kMostInFile = 2 * kMostErrors;
constexpr off_t kTail = 4096;

/// RLIMIT_FSIZE holds for memory files as well.
off_t most_kept() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return kMostInFile;
  return static_cast<off_t>(std::min<rlim_t>(kMostInFile, limit.rlim_cur));
}

/// Whether our stderr takes something, be it with an error, before `limit`.
bool is_writable(std::chrono::steady_clock::time_point limit) noexcept {
  pollfd ends[2] = {{STDERR_FILENO, POLLOUT, 0}, {-1, 0, 0}};
  return os::poll_both(ends, limit);
}

}  // namespace

std::expected<ChildErrors, Error> ChildErrors::create() {
  ChildErrors errors;
  errors.file_ =
      os::above_stdio(Fd{::memfd_create("tine-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING)});
  const int error = errors.file_ ? os::set_file_size(errors.file_.get(), most_kept()) : errno;
  if (error != 0) return os::failed(Stage::open, error, "a memory file for the stderr of a child");
  // Without the seal a child may write more than is kept; it is read in bounded pieces anyway.
  [[maybe_unused]] const int sealed =
      ::fcntl(errors.file_.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK);
  return errors;
}

TINE_YOUNG_CHILD void ChildErrors::become_stderr() const noexcept {
  os::copy_raw(file_.get(), STDERR_FILENO);
  os::close_raw(file_.get());
}

void ChildErrors::keep_from_later_children() const noexcept { os::note_own(file_.get()); }

off_t ChildErrors::written() const noexcept {
  return std::clamp<off_t>(::lseek(file_.get(), 0, SEEK_CUR), 0, kMostInFile);
}

bool ChildErrors::pass_on(std::chrono::steady_clock::time_point limit) noexcept {
  const off_t until = written();
  return passed_on_ >= until || pass_on_until(until, limit);
}

bool ChildErrors::pass_on_rest(bool is_stuck) noexcept {
  using Clock = std::chrono::steady_clock;
  const auto patience = std::chrono::seconds(is_stuck ? 0 : 1);
  const auto end = Clock::now() + 5 * patience;
  for (off_t before = -1; before != passed_on_;) {
    before = passed_on_;
    if (pass_on(std::min(Clock::now() + patience, end))) return true;
  }
  return false;
}

/// Apart, for its block would touch further pages of the stack where there is nothing to do.
[[gnu::noinline]] bool ChildErrors::pass_on_until(
    off_t until, std::chrono::steady_clock::time_point limit) noexcept {
  char block[PIPE_BUF];  // a pipe that is writable takes so much without blocking
  while (passed_on_ < until) {
    if (!is_writable(limit)) return false;
    const auto wanted = std::min<off_t>(until - passed_on_, sizeof block);
    const ssize_t got = ::pread(file_.get(), block, static_cast<std::size_t>(wanted), passed_on_);
    if (got <= 0) break;
    passed_on_ += got;
    [[maybe_unused]] const int refused =
        os::write_all(STDERR_FILENO, {block, static_cast<std::size_t>(got)});
  }
  passed_on_ = std::max(passed_on_, until);
  return true;
}

std::string ChildErrors::tail(off_t from, off_t until) const {
  until = std::clamp<off_t>(until, 0, written());
  from = std::clamp<off_t>(from, std::max<off_t>(0, until - kTail), until);
  std::string text(static_cast<std::size_t>(until - from), '\0');
  const ssize_t got = ::pread(file_.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

}  // namespace tine::work
