// SPDX-License-Identifier: MIT
#include "tine/command.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "child/after_fork.h"
#include "command/preparation.h"
#include "command/start.h"
#include "command/words.h"
#include "os/signal_mask.h"

namespace tine {

using Kind = detail::RedirectSpec::Kind;

namespace {

detail::RedirectSpec file_redirect(const std::filesystem::path& path, int flags) {
  return {.kind = Kind::file, .open_flags = flags, .text = path.native()};
}

}  // namespace

Redirect Redirect::inherit() { return Redirect({}); }
Redirect Redirect::null() { return Redirect({.kind = Kind::null}); }
Redirect Redirect::pipe() { return Redirect({.kind = Kind::pipe}); }
Redirect Redirect::pseudo_terminal() { return Redirect({.kind = Kind::pseudo_terminal}); }
Redirect Redirect::fd(int number) { return Redirect({.kind = Kind::parent_fd, .number = number}); }
Redirect Redirect::same_as(int target) {
  return Redirect({.kind = Kind::child_fd, .number = target});
}
Redirect Redirect::bytes(std::string text) {
  return Redirect({.kind = Kind::bytes, .text = std::move(text)});
}
Redirect Redirect::read(const std::filesystem::path& path) {
  return Redirect(file_redirect(path, O_RDONLY));
}
Redirect Redirect::write(const std::filesystem::path& path) {
  return Redirect(file_redirect(path, O_WRONLY | O_CREAT | O_TRUNC));
}
Redirect Redirect::append(const std::filesystem::path& path) {
  return Redirect(file_redirect(path, O_WRONLY | O_CREAT | O_APPEND));
}
Redirect Redirect::create(const std::filesystem::path& path) {
  return Redirect(file_redirect(path, O_WRONLY | O_CREAT | O_EXCL));
}

Command::Command(std::initializer_list<Arg> words) {
  spec_.argv.reserve(words.size());
  for (const Arg& word : words) spec_.argv.push_back(word.text);
}

Command Command::of(std::vector<std::string> words) {
  Command command({});
  command.spec_.argv = std::move(words);
  return command;
}

Command Command::shell(std::string script, std::vector<std::string> arguments) {
  Command command{"/bin/sh", "-c", std::move(script)};
  if (!arguments.empty()) command.arg("sh").args(std::move(arguments));
  return command;
}

Command& Command::arg(Arg word) {
  spec_.argv.push_back(std::move(word.text));
  return *this;
}

Command& Command::args(std::vector<std::string> words) {
  for (auto& word : words) spec_.argv.push_back(std::move(word));
  return *this;
}

Command& Command::program(const std::filesystem::path& path) {
  spec_.program = path.native();
  return *this;
}

Command& Command::arg0(std::string name) {
  if (spec_.argv.empty()) spec_.argv.emplace_back();
  if (!spec_.program) spec_.program = spec_.argv[0];
  spec_.argv[0] = std::move(name);
  return *this;
}

Command& Command::dir(const std::filesystem::path& cwd) {
  spec_.cwd = cwd.native();
  return *this;
}

Command& Command::env(std::string name, std::string value) {
  spec_.environment.push_back({std::move(name), std::move(value)});
  return *this;
}

Command& Command::env_remove(std::string name) {
  spec_.environment.push_back({std::move(name), std::nullopt});
  return *this;
}

Command& Command::env_clear() {
  spec_.clear_environment = true;
  spec_.environment.clear();
  return *this;
}

Command& Command::fd(int number, Redirect where) {
  spec_.redirects.emplace_back(number, std::move(where.spec_));
  return *this;
}

Command& Command::umask(mode_t mask) {
  spec_.umask = mask;
  return *this;
}

Command& Command::nice(int increment) {
  spec_.nice = increment;
  return *this;
}

Command& Command::io_priority(int level) {
  spec_.io_priority = level;
  return *this;
}

Command& Command::oom_score(int adjustment) {
  spec_.oom_score = adjustment;
  return *this;
}

Command& Command::affinity(std::vector<int> cpus) {
  spec_.cpus = std::move(cpus);
  return *this;
}

Command& Command::limit(int resource, rlim_t value) { return limit(resource, value, value); }

Command& Command::limit(int resource, rlim_t soft, rlim_t hard) {
  spec_.limits.push_back({resource, {soft, hard}});
  return *this;
}

Command& Command::user(uid_t uid) {
  spec_.uid = uid;
  return *this;
}

Command& Command::group(gid_t gid) {
  spec_.gid = gid;
  return *this;
}

Command& Command::groups(std::vector<gid_t> groups) {
  spec_.groups = std::move(groups);
  return *this;
}

Command& Command::terminal_size(unsigned short rows, unsigned short columns) {
  spec_.terminal_size = {rows, columns};
  return *this;
}

Command& Command::new_session(bool on) {
  spec_.new_session = on;
  return *this;
}

Command& Command::process_group(ProcessGroup which) {
  spec_.process_group = which;
  return *this;
}

Command& Command::foreground(bool on) {
  spec_.foreground = on;
  return *this;
}

Command& Command::detach(bool on) {
  spec_.detach = on;
  return *this;
}

Command& Command::leave_descendants(bool on) {
  spec_.leave_descendants = on;
  return *this;
}

Command& Command::timeout(std::chrono::nanoseconds limit) {
  spec_.timeout = limit;
  return *this;
}

Command& Command::grace(std::chrono::milliseconds grace) {
  spec_.grace = grace;
  return *this;
}

Command& Command::unchecked(bool on) {
  spec_.unchecked = on;
  return *this;
}

Command& Command::cancel(CancelToken token) {
  spec_.cancel = std::move(token);
  return *this;
}

Command& Command::capture_limit(std::size_t bytes, OnLimit then) {
  spec_.capture_limit = bytes;
  spec_.truncate_at_limit = then == OnLimit::truncate;
  return *this;
}

std::expected<Child, Error> Command::start() const {
  return command::start(spec_, {.deadline = command::DeadlineBy::guardian});
}

Error Command::exec() const {
  // What can be known beforehand is checked before anything of this process changes.
  if (!spec_.argv.empty() && spec_.cwd.empty() && !spec_.clear_environment &&
      spec_.environment.empty()) {
    const auto found = find_program(spec_.program ? *spec_.program : spec_.argv[0]);
    if (!found) return found.error();
  }
  command::Preparation preparation;
  if (auto done = preparation.prepare(spec_, {}); !done) return done.error();
  child::SpawnReport report;
  {
    const os::AllSignalsBlocked blocked;
    report = child::become_program(preparation.plan, false);
  }
  return command::explain(report, spec_, preparation);
}

std::string Command::to_string() const { return command::quoted(spec_.argv); }

std::expected<Child, Error> start(const Command& command) { return command.start(); }

}  // namespace tine
