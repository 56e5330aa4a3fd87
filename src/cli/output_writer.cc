// SPDX-License-Identifier: MIT
#include "cli/output_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tine::cli {

namespace {

void append_tagged(std::string& to, std::string_view lines, const std::string& tag) {
  while (!lines.empty()) {
    const auto end = std::min(lines.find('\n'), lines.size() - 1) + 1;
    to += tag;
    to += '\t';
    to += lines.substr(0, end);
    lines.remove_prefix(end);
  }
}

/// Calls `use` with one block after the other.
void copy_blocks(const OutputFile& file, const std::function<void(std::string_view)>& use) {
  std::string block(1 << 16, '\0');
  const std::uint64_t size = file.size();
  for (std::uint64_t at = 0; at < size;) {
    const auto wanted = std::min<std::uint64_t>(block.size(), size - at);
    const ssize_t got = ::pread(file.fd().get(), block.data(), wanted, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;  // it has been cut short meanwhile
    at += static_cast<std::uint64_t>(got);
    use(std::string_view(block.data(), static_cast<std::size_t>(got)));
  }
}

/// Opened through /proc, the master of a pseudo-terminal would be a new one.
bool is_master(int fd) {
  int number = 0;
  return ::ioctl(fd, TIOCGPTN, &number) == 0;
}

bool is_file(int fd) {
  struct stat target{};
  return ::fstat(fd, &target) != 0 || S_ISREG(target.st_mode) || S_ISBLK(target.st_mode);
}

}  // namespace

OutputWriter::OutputWriter(bool stdout_closed, std::string tmpdir, Wait wait,
                           std::function<void()> make_way)
    : stdout_closed_(stdout_closed),
      tmpdir_(std::move(tmpdir)),
      wait_(std::move(wait)),
      make_way_(std::move(make_way)),
      sinks_{sink_for(1), sink_for(2)} {}

/// O_NONBLOCK on the stream itself would hit all who share it, so the pipe or terminal is opened
/// again. That is refused for a socket, and for what another user has made.
OutputWriter::Sink OutputWriter::sink_for(int fd) {
  Sink sink{.fd = fd};
  struct stat target{};
  const bool pipe = ::fstat(fd, &target) == 0 && S_ISFIFO(target.st_mode);
  if (pipe || (::isatty(fd) == 1 && !is_master(fd))) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    sink.own.reset(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  }
  if (sink.own) {
    sink.fd = sink.own.get();
  } else {
    sink.blocks = !is_file(fd);
  }
  return sink;
}

bool OutputWriter::wait_for(int fd) {
  if (!dropping_) dropping_ = !wait_(fd);
  pollfd watched{fd, POLLOUT, 0};
  return !dropping_ || ::poll(&watched, 1, 0) > 0;
}

/// 0, or the errno. SIGPIPE is ignored in this process.
int OutputWriter::write_all(const Sink& sink, std::string_view text) {
  constexpr std::size_t kNeverBlocks = 4096;  // PIPE_BUF, once poll(2) has said that there is room
  while (!text.empty()) {
    if (sink.blocks && !wait_for(sink.fd)) return 0;
    const std::size_t size = sink.blocks ? std::min(text.size(), kNeverBlocks) : text.size();
    const ssize_t put = ::write(sink.fd, text.data(), size);
    if (put >= 0) {
      text.remove_prefix(static_cast<std::size_t>(put));
    } else if (errno == EAGAIN) {
      if (!wait_for(sink.fd)) return 0;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void OutputWriter::note(int fd, Error error) {
  error.stage = Stage::write;
  error.subject = fd == 1 ? "standard output" : "standard error";
  if (!failed_) failed_ = std::move(error);
}

bool OutputWriter::refused(int fd) {
  if (fd == 1 && stdout_closed_) note(fd, Error{.errno_value = EBADF});
  return dropping_ || failed_.has_value();
}

void OutputWriter::write(int fd, std::string_view text) {
  if (text.empty() || refused(fd)) return;
  make_way_();
  if (const int error = write_all(sinks_[fd - 1], text)) {
    note(fd, Error{.kind = error == EPIPE ? ErrorKind::broken_pipe : ErrorKind::system,
                   .errno_value = error});
  }
}

void OutputWriter::say(std::string_view text) {
  make_way_();
  write_all(sinks_[1], text);
}

void OutputWriter::write_lines(int fd, std::string_view lines,
                               const std::optional<std::string>& tag) {
  if (!tag) return write(fd, lines);
  tagged_.clear();
  append_tagged(tagged_, lines, *tag);
  write(fd, tagged_);
}

void OutputWriter::write_file(int fd, const OutputFile& file,
                              const std::optional<std::string>& tag) {
  if (!file || file.size() == 0 || refused(fd)) return;
  make_way_();
  if (tag) return copy_tagged(fd, file, *tag);
  copy(fd, file);
}

void OutputWriter::copy(int fd, const OutputFile& file) {
  const Sink& sink = sinks_[fd - 1];
  if (sink.blocks) return copy_blocks(file, [&](std::string_view text) { write(fd, text); });
  auto copied = file.copy_to(sink.fd, [&] { return wait_for(sink.fd); });
  if (!copied && !dropping_) note(fd, copied.error());
}

/// Lines pass through here block by block; a line that spans blocks gets its tag once.
void OutputWriter::copy_tagged(int fd, const OutputFile& file, const std::string& tag) {
  bool at_line_start = true;
  copy_blocks(file, [&](std::string_view text) {
    tagged_.clear();
    if (!at_line_start) {
      const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
      tagged_ += text.substr(0, end);
      at_line_start = tagged_.back() == '\n';
      text.remove_prefix(end);
    }
    if (!text.empty()) {
      append_tagged(tagged_, text, tag);
      at_line_start = text.back() == '\n';
    }
    write(fd, tagged_);
  });
}

void OutputWriter::hold(std::uint64_t index, int fd, std::string_view lines,
                        const std::optional<std::string>& tag) {
  Held& held = held_[index];
  OutputFile& file = fd == 1 ? held.out : held.err;
  if (!file) {
    auto made = OutputFile::create(tmpdir_);
    if (!made) {
      if (!failed_) failed_ = made.error();
      return;
    }
    file = std::move(*made);
  }
  tagged_.clear();
  if (tag) append_tagged(tagged_, lines, *tag);
  const Sink sink{.fd = file.fd().get()};
  if (const int error = write_all(sink, tag ? tagged_ : lines); error != 0 && !failed_) {
    failed_ = Error{.errno_value = error,
                    .stage = Stage::write,
                    .subject = "a temporary file in " + tmpdir_,
                    .hint = "set TMPDIR or --tmpdir to another directory"};
  }
}

void OutputWriter::release(std::uint64_t index) {
  const auto found = held_.find(index);
  if (found == held_.end()) return;
  write_file(1, found->second.out, std::nullopt);
  write_file(2, found->second.err, std::nullopt);
  held_.erase(found);
}

}  // namespace tine::cli
