// SPDX-License-Identifier: MIT
#include "cli/output_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tine::cli {

namespace {

/// 0, or the errno. SIGPIPE is ignored in this process; others may have made stdout non-blocking.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put >= 0) {
      text.remove_prefix(static_cast<std::size_t>(put));
    } else if (errno == EAGAIN) {
      pollfd watched{fd, POLLOUT, 0};
      ::poll(&watched, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void append_tagged(std::string& to, std::string_view lines, const std::string& tag) {
  while (!lines.empty()) {
    const auto end = std::min(lines.find('\n'), lines.size() - 1) + 1;
    to += tag;
    to += '\t';
    to += lines.substr(0, end);
    lines.remove_prefix(end);
  }
}

}  // namespace

void OutputWriter::note(int fd, Error error) {
  error.stage = Stage::write;
  error.subject = fd == 1 ? "standard output" : "standard error";
  if (!failed_) failed_ = std::move(error);
}

bool OutputWriter::refused(int fd) {
  if (fd == 1 && stdout_closed_) note(fd, Error{.errno_value = EBADF});
  return failed_.has_value();
}

void OutputWriter::write(int fd, std::string_view text) {
  if (text.empty() || refused(fd)) return;
  if (const int error = write_all(fd, text)) {
    note(fd, Error{.kind = error == EPIPE ? ErrorKind::broken_pipe : ErrorKind::system,
                   .errno_value = error});
  }
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
  if (!tag) {
    if (auto copied = file.copy_to(fd); !copied) note(fd, copied.error());
    return;
  }
  // Lines pass through here block by block; a line that spans blocks gets its tag once.
  std::string block(1 << 16, '\0');
  bool at_line_start = true;
  off_t at = 0;
  for (;;) {
    const ssize_t got = ::pread(file.fd().get(), block.data(), block.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    at += got;
    std::string_view text(block.data(), static_cast<std::size_t>(got));
    tagged_.clear();
    if (!at_line_start) {
      const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
      tagged_ += text.substr(0, end);
      at_line_start = tagged_.back() == '\n';
      text.remove_prefix(end);
    }
    if (!text.empty()) {
      append_tagged(tagged_, text, *tag);
      at_line_start = text.back() == '\n';
    }
    write(fd, tagged_);
  }
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
  if (const int error = write_all(file.fd().get(), tag ? tagged_ : lines); error != 0 && !failed_) {
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
