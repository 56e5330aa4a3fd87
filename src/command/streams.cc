// SPDX-License-Identifier: MIT
#include "command/streams.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "os/event_loop.h"
#include "os/io.h"
#include "os/own_fds.h"
#include "os/pidfd.h"

namespace tine::command {

struct StreamLoop::State {
  struct Stream {
    Fd fd;
    Taker taker;
  };

  os::EventLoop loop;
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<char> buffer = std::vector<char>(65536);
  std::size_t bytes_read = 0;
  bool stopped = false;
  bool stoppable = true;
  bool cancelled = false;
  std::size_t running = 0;

  void close(Stream& stream) {
    loop.unwatch(stream.fd.get());
    stream.fd.reset();
  }

  /// One read. False: nothing more now, or ever.
  bool read_once(Stream& stream) {
    const ssize_t got = os::read_retry(stream.fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EAGAIN) return false;
    if (got > 0) bytes_read += static_cast<std::size_t>(got);
    // EIO is how a pseudo-terminal says that the other side is closed.
    const std::string_view piece(buffer.data(),
                                 static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (stream.taker(piece) && got > 0) return true;
    close(stream);
    return false;
  }
};

StreamLoop::StreamLoop() : state_(std::make_unique<State>()) {}
StreamLoop::~StreamLoop() = default;

std::expected<void, Error> StreamLoop::add(Fd fd, Taker taker) {
  const int number = fd.get();
  os::make_own_end(number);
  auto stream = std::make_unique<State::Stream>(std::move(fd), std::move(taker));
  State::Stream* raw = stream.get();
  state_->streams.push_back(std::move(stream));
  return state_->loop.watch(number, EPOLLIN, [state = state_.get(), raw] {
    if (raw->fd) state->read_once(*raw);
  });
}

std::expected<Drained, Error> StreamLoop::run_until_ended(std::vector<int> pidfds,
                                                          os::Deadline deadline,
                                                          const CancelToken& token) {
  State& state = *state_;
  state.running = pidfds.size();
  for (const int pidfd : pidfds) {
    auto watched = state.loop.watch(pidfd, EPOLLIN, [&state, pidfd] {
      state.loop.unwatch(pidfd);
      --state.running;
    });
    if (!watched) return std::unexpected(watched.error());
  }
  if (token.fd() >= 0) {
    auto watched = state.loop.watch(token.fd(), EPOLLIN, [&state] { state.cancelled = true; });
    if (!watched) return std::unexpected(watched.error());
  }
  Drained result = Drained::ended;
  while (state.running > 0 && !state.stopped) {
    if (state.cancelled) {
      result = Drained::cancelled;
      break;
    }
    if (deadline && os::EventLoop::Clock::now() >= *deadline) {
      // Who was busy with what was read comes here late: what has ended may have ended in time.
      if (!std::ranges::all_of(pidfds, os::has_ended)) result = Drained::timed_out;
      break;
    }
    state.loop.run_once(deadline);
  }
  for (const int pidfd : pidfds) state.loop.unwatch(pidfd);
  state.loop.unwatch(token.fd());
  return state.stopped ? Drained::stopped : result;
}

bool StreamLoop::drain_until_ended(std::vector<int> pidfds, os::Deadline deadline) {
  state_->stopped = false;
  state_->stoppable = false;
  state_->cancelled = false;
  const auto how = run_until_ended(std::move(pidfds), deadline, {});
  return how && *how == Drained::ended;
}

void StreamLoop::finish() {
  for (auto& stream : state_->streams) {
    // What is there now, and not what a survivor goes on to write.
    int left = 0;
    if (stream->fd && ::ioctl(stream->fd.get(), FIONREAD, &left) != 0) left = 0;
    while (stream->fd && left > 0) {
      const std::size_t before = state_->bytes_read;
      if (!state_->read_once(*stream)) break;
      left -= static_cast<int>(state_->bytes_read - before);
    }
    if (!stream->fd) continue;
    stream->taker({});
    state_->close(*stream);
  }
}

void StreamLoop::stop() noexcept { state_->stopped = state_->stoppable; }

bool Collector::take(std::string_view piece) {
  const std::size_t room = limit_ - into_.size();
  overflowed_ = overflowed_ || piece.size() > room;
  into_.append(piece.substr(0, room));
  return !overflowed_;
}

bool LineCutter::give(std::string_view line) {
  if (partial_.empty()) return on_line_(line);
  partial_.append(line);
  const bool more = on_line_(partial_);
  partial_.clear();
  return more;
}

bool LineCutter::take(std::string_view piece) {
  if (piece.empty()) return partial_.empty() || give({});
  while (!piece.empty()) {
    const auto newline = piece.find('\n');
    if (newline == std::string_view::npos) {
      if (partial_.size() + piece.size() > kLongest) return give(piece);
      partial_.append(piece);
      return true;
    }
    if (!give(piece.substr(0, newline))) return false;
    piece.remove_prefix(newline + 1);
  }
  return true;
}

}  // namespace tine::command
