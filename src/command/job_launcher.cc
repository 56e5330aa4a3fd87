// SPDX-License-Identifier: MIT
#include "command/job_launcher.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "os/pidfd.h"
#include "os/system_error.h"

namespace tine::command {

JobLauncher::JobLauncher(const BatchOptions& options, OutputPool& files)
    : options_(options), files_(files) {
  const auto equals = options.kill_mark.find('=');
  if (equals == std::string::npos) return;
  mark_name_ = options.kill_mark.substr(0, equals);
  mark_value_ = options.kill_mark.substr(equals + 1);
}

std::expected<LaunchedJob, Error> JobLauncher::launch(JobAttempt& attempt) {
  if (auto done = set_mark(); !done) return std::unexpected(done.error());
  Command& command = attempt.job.command;
  if (mark_ && !mark_inherited_ && attempt.number == 0) command.env(mark_name_, mark_value_);
  LaunchedJob made;
  auto child = start(command.spec(), made);
  if (!child) {
    files_.take_back(std::move(made.out));
    files_.take_back(std::move(made.err));
    return std::unexpected(child.error());
  }
  made.child = std::move(*child);
  return made;
}

/// Not before the first job: what goes wrong is told as one that could not be started.
std::expected<void, Error> JobLauncher::set_mark() {
  if (options_.kill_mark.empty() || mark_) return {};
  auto set = child::KillMark::set(options_.kill_mark);
  if (!set) return std::unexpected(set.error());
  mark_ = std::move(*set);
  const char* inherited = std::getenv(mark_name_.c_str());  // NOLINT(concurrency-mt-unsafe)
  mark_inherited_ = inherited != nullptr && mark_value_ == inherited;
  return {};
}

std::expected<Child, Error> JobLauncher::start(const CommandSpec& spec, LaunchedJob& made) {
  if (!null_) {
    null_ = os::above_stdio(Fd{::open("/dev/null", O_RDWR | O_CLOEXEC)});
    if (!null_) return os::failed(Stage::open, errno, "/dev/null");
  }
  Defaults defaults;
  defaults.reserve(3);
  defaults.push_back({0, own_fd(null_.get())});
  Fd writers[2];  // the child has its own copies when this returns
  if (auto done = add_streams(spec, made, writers, defaults); !done) {
    return std::unexpected(done.error());
  }
  made.start = free_start();
  return made.start->start(spec, {.defaults = std::move(defaults)});
}

std::expected<void, Error> JobLauncher::add_streams(const CommandSpec& spec, LaunchedJob& made,
                                                    std::span<Fd, 2> writers, Defaults& defaults) {
  if (options_.output == BatchOutput::inherit) return {};
  for (const int number : {1, 2}) {
    if (options_.output == BatchOutput::lines) {
      defaults.push_back({number, {.kind = RedirectSpec::Kind::pipe}});
      continue;
    }
    const auto redirected = [number](const auto& redirect) { return redirect.first == number; };
    if (std::ranges::any_of(spec.redirects, redirected)) continue;
    auto lent = files_.lend();
    if (!lent) return std::unexpected(lent.error());
    OutputFile& file = (number == 1 ? made.out : made.err) = std::move(lent->file);
    Fd& writer = writers[static_cast<std::size_t>(number - 1)] = std::move(lent->writer);
    defaults.push_back({number, own_fd(writer ? writer.get() : file.fd().get())});
  }
  return {};
}

std::unique_ptr<BackgroundStart> JobLauncher::free_start() {
  if (starts_.empty()) return std::make_unique<BackgroundStart>();
  auto start = std::move(starts_.back());
  starts_.pop_back();
  return start;
}

}  // namespace tine::command
