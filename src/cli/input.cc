// SPDX-License-Identifier: MIT
#include "cli/input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tine::cli {
namespace {

std::string system_reason(std::string_view what, const std::string& name, int error) {
  return std::string(what) + " '" + name + "': " + std::strerror(error);
}

}  // namespace

RecordReader::RecordReader(RecordReader&& other) noexcept
    : name_(std::move(other.name_)),
      delimiter_(std::move(other.delimiter_)),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      end_(other.end_),
      searched_(other.searched_),
      fd_(std::exchange(other.fd_, -1)),
      owned_(std::exchange(other.owned_, false)),
      at_end_(other.at_end_) {}

RecordReader& RecordReader::operator=(RecordReader&& other) noexcept {
  if (this == &other) return *this;
  close();
  name_ = std::move(other.name_);
  delimiter_ = std::move(other.delimiter_);
  buffer_ = std::move(other.buffer_);
  begin_ = other.begin_;
  end_ = other.end_;
  searched_ = other.searched_;
  fd_ = std::exchange(other.fd_, -1);
  owned_ = std::exchange(other.owned_, false);
  at_end_ = other.at_end_;
  return *this;
}

RecordReader::~RecordReader() { close(); }

void RecordReader::close() {
  if (owned_ && fd_ >= 0) ::close(fd_);
  fd_ = -1;
  owned_ = false;
}

Result<RecordReader> RecordReader::open(const std::string& path, std::string delimiter) {
  RecordReader reader(std::move(delimiter));
  reader.name_ = path == "-" ? "standard input" : path;
  if (path == "-") {
    reader.fd_ = STDIN_FILENO;
    return reader;
  }
  // Without O_NONBLOCK the open of a named pipe would wait for its writer. The file description
  // is ours alone, so that the flag disturbs nobody.
  reader.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (reader.fd_ < 0) {
    return std::unexpected(system_reason("cannot open input file", path, errno));
  }
  reader.owned_ = true;
  return reader;
}

RecordReader RecordReader::from_arguments(std::span<const std::string> arguments,
                                          std::string delimiter) {
  RecordReader reader(std::move(delimiter));
  for (const auto& argument : arguments) {
    reader.buffer_ += argument;
    reader.buffer_ += reader.delimiter_;
  }
  reader.end_ = reader.buffer_.size();
  reader.at_end_ = true;
  return reader;
}

Result<Pull> RecordReader::next(std::string_view& record) {
  while (!take(record)) {
    if (at_end_) {
      if (begin_ == end_) return Pull::end;
      record = std::string_view(buffer_).substr(begin_, end_ - begin_);
      begin_ = searched_ = end_;
      return Pull::job;
    }
    auto filled = fill();
    if (!filled || *filled == Pull::would_block) return filled;
    at_end_ = *filled == Pull::end;
  }
  return Pull::job;
}

bool RecordReader::take(std::string_view& record) {
  std::string_view unread(buffer_.data(), end_);
  std::size_t at = delimiter_.size() == 1 ? unread.find(delimiter_[0], searched_)
                                          : unread.find(delimiter_, searched_);
  if (at == std::string_view::npos) {
    // A delimiter of several bytes may have begun at the end.
    std::size_t rest = std::min(delimiter_.size() - 1, end_ - begin_);
    searched_ = std::max(searched_, end_ - rest);
    return false;
  }
  record = unread.substr(begin_, at - begin_);
  begin_ = searched_ = at + delimiter_.size();
  return true;
}

// Makes room, then reads once. The buffer grows only for a record longer than itself.
Result<Pull> RecordReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    searched_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + kBlock / 2) buffer_.resize(std::max(kBlock, buffer_.size() * 2));
  return read_more();
}

// poll() comes first because an inherited fd is shared with others: it must stay as it is, and
// O_NONBLOCK would change it for all of them.
Result<Pull> RecordReader::read_more() {
  pollfd ready{fd_, POLLIN, 0};
  int polled = ::poll(&ready, 1, 0);
  if (polled == 0 || (polled < 0 && errno == EINTR)) return Pull::would_block;
  ssize_t got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
  if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) {
    return Pull::would_block;
  }
  if (got < 0) return std::unexpected(system_reason("cannot read", name_, errno));
  end_ += static_cast<std::size_t>(got);
  return got == 0 ? Pull::end : Pull::job;
}

}  // namespace tine::cli
