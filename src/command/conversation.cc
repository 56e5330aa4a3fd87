// SPDX-License-Identifier: MIT
#include "tine/conversation.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "command/failure.h"
#include "command/start.h"
#include "command/words.h"
#include "os/io.h"
#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/system_error.h"

namespace tine {

using Clock = std::chrono::steady_clock;

std::expected<Conversation, Error> Command::converse() const {
  constexpr auto pipe = detail::RedirectSpec::Kind::pipe;
  auto child = command::start(spec_, {.defaults = {{0, {.kind = pipe}}, {1, {.kind = pipe}}},
                                      .deadline = command::DeadlineBy::guardian});
  if (!child) return std::unexpected(child.error());
  return Conversation(std::move(*child), *this);
}

Conversation::Conversation(Child child, const Command& command)
    : child_(std::move(child)),
      in_(std::move(child_.in())),
      out_(std::move(child_.out())),
      name_(command::base_name(command.spec().argv[0])),
      limit_(command.spec().capture_limit),
      unchecked_(command.spec().unchecked),
      cancel_(command.spec().cancel) {
  for (const Fd* fd : {&in_, &out_}) {
    if (*fd) os::make_own_end(fd->get());
  }
}

/// Takes what the child has said so far; closes the stream at its end.
std::expected<void, Error> Conversation::receive() {
  char block[65536];
  const ssize_t got = os::read_retry(out_.get(), block, sizeof block);
  if (got < 0 && errno == EAGAIN) return {};
  if (got < 0 && errno != EIO) return os::failed(Stage::read, errno, name_);
  if (got <= 0) {
    out_.reset();
    return {};
  }
  if (heard_.size() + static_cast<std::size_t>(got) > limit_) {
    return std::unexpected(Error{ErrorKind::output_limit, 0, Stage::read, name_,
                                 "the limit is " + std::to_string(limit_) + " bytes"});
  }
  heard_.append(block, static_cast<std::size_t>(got));
  return {};
}

/// One wait, in which either side may make progress.
std::expected<void, Error> Conversation::exchange(std::string_view& unsent,
                                                  std::chrono::nanoseconds limit) {
  pollfd watched[3] = {{unsent.empty() ? -1 : in_.get(), POLLOUT, 0},
                       {out_.get(), POLLIN, 0},
                       {cancel_.fd(), POLLIN, 0}};
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
  const int ready = ::poll(watched, 3, static_cast<int>(std::clamp<std::int64_t>(ms, 0, 1 << 30)));
  if (ready < 0 && errno != EINTR) return os::failed(Stage::wait, errno, name_);
  if (ready == 0) return std::unexpected(Error{ErrorKind::timed_out, 0, Stage::read, name_, {}});
  if (ready < 0) return {};
  if (watched[2].revents != 0) {
    return std::unexpected(Error{ErrorKind::cancelled, 0, Stage::wait, name_, {}});
  }
  if (watched[1].revents != 0) {
    if (auto done = receive(); !done) return done;
  }
  if (watched[0].revents != 0) {
    const os::NoWriteSignals guard;
    const ssize_t put = os::write_retry(in_.get(), unsent.data(), unsent.size());
    if (put < 0 && errno != EAGAIN) return os::failed(Stage::write, errno, name_);
    if (put > 0) unsent.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

std::expected<void, Error> Conversation::send(std::string_view text,
                                              std::chrono::nanoseconds limit) {
  if (!in_) return os::failed(Stage::write, EPIPE, name_);
  const auto until = os::deadline_after(limit);
  while (!text.empty()) {
    if (auto done = exchange(text, until - Clock::now()); !done) return done;
  }
  return {};
}

std::expected<std::optional<std::string>, Error> Conversation::read_line(
    std::chrono::nanoseconds limit) {
  const auto until = os::deadline_after(limit);
  std::string_view nothing;
  std::size_t looked_at = 0;
  for (;;) {
    const auto newline = heard_.find('\n', looked_at);
    if (newline != std::string::npos) {
      std::string line = heard_.substr(0, newline);
      heard_.erase(0, newline + 1);
      return line;
    }
    looked_at = heard_.size();
    if (!out_) {
      if (heard_.empty()) return std::nullopt;
      return std::exchange(heard_, {});
    }
    if (auto done = exchange(nothing, until - Clock::now()); !done) {
      return std::unexpected(done.error());
    }
  }
}

void Conversation::close_input() noexcept { in_.reset(); }

Result<Output> Conversation::finish() {
  close_input();
  detail::CommandSpec spec;
  spec.argv = {name_};
  std::string_view nothing;
  constexpr auto kLong = std::chrono::hours(24);
  std::optional<Error> ended_for;
  while (out_ && !ended_for) {
    // Whoever inherited the pipe from the child is not waited for.
    pollfd watched[3] = {
        {child_.fd(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {cancel_.fd(), POLLIN, 0}};
    if (::poll(watched, 3, -1) < 0 && errno == EINTR) continue;
    if (watched[1].revents == 0 && watched[2].revents == 0) break;
    if (auto done = exchange(nothing, kLong); !done) ended_for = std::move(done.error());
  }
  // A child that says more than may be kept would wait for ever with nobody to listen.
  auto finished = ended_for ? child_.terminate() : child_.wait(cancel_);
  if (!finished && finished.error().kind == ErrorKind::cancelled) {
    ended_for = finished.error();
    finished = child_.terminate();
  }
  if (!finished) {
    Failure failure = command::failed_run(spec, Cause::lost, {}, std::move(heard_));
    failure.status.reset();
    failure.error = finished.error();
    return std::unexpected(std::move(failure));
  }
  if (child_.timed_out()) {
    return std::unexpected(
        command::failed_run(spec, Cause::timed_out, *finished, std::move(heard_)));
  }
  if (ended_for) {
    Failure failure = command::failed_run(spec, Cause::cancelled, *finished, std::move(heard_));
    if (ended_for->kind != ErrorKind::cancelled) failure.error = std::move(ended_for);
    return std::unexpected(std::move(failure));
  }
  if (!finished->status.success() && !unchecked_) {
    return std::unexpected(command::failed_run(spec, command::cause_of(finished->status), *finished,
                                               std::move(heard_)));
  }
  Output output;
  static_cast<Finished&>(output) = *finished;
  output.out = std::move(heard_);
  return output;
}

}  // namespace tine
