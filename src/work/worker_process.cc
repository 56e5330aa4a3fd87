// SPDX-License-Identifier: MIT
#include "work/worker_process.h"

#include <signal.h>

#include <span>
#include <utility>

#include "child/child_state.h"

namespace tine::work {

using detail::ChildAccess;

std::expected<void, Error> WorkerProcess::begin() {
  ending_ = Ending::none;
  where_.reset();
  no_answer_.clear();
  auto errors = ChildErrors::create();
  if (!errors) return std::unexpected(errors.error());
  errors_ = std::move(*errors);
  return {};
}

void WorkerProcess::began(const How& how, Child child) {
  errors_->keep_from_later_children();
  child_ = std::move(child);
  memory_.begin(child_.pid(), how.memory);
}

std::expected<void, Error> WorkerProcess::spawn(const How& how, ChildOrder order,
                                                std::span<const int> fds) {
  if (auto begun = begin(); !begun) return begun;
  const LaunchOptions options{.grace = how.grace, .name = how.name};
  auto child = start_elsewhere(StartMethod::spawn, options, std::move(order), errors_->file(), fds);
  if (!child) return std::unexpected(child.error());
  began(how, std::move(*child));
  return {};
}

std::expected<void, Error> WorkerProcess::start(const How& how, CrashReport& crash,
                                                const std::function<int()>& main) {
  if (auto begun = begin(); !begun) return begun;
  const LaunchOptions options{.grace = how.grace, .name = how.name, .threads = how.threads};
  auto child = detail::launch_body(options, [&] {
    install_crash_handlers(crash, how.core);
    errors_->become_stderr();
    if (how.memory > 0) limit_memory(how.memory);
    return main();
  });
  if (!child) return std::unexpected(child.error());
  began(how, std::move(*child));
  return {};
}

std::string WorkerProcess::errors_between(std::uint64_t from, std::uint64_t until) const {
  return errors_ ? errors_->tail(static_cast<off_t>(from), static_cast<off_t>(until)) : "";
}

std::string WorkerProcess::errors_since(std::uint64_t from) const {
  return errors_ ? errors_->tail(static_cast<off_t>(from), errors_->written()) : "";
}

bool WorkerProcess::pass_on_errors() noexcept {
  return !errors_ || !is_alive() || errors_->pass_on();
}

std::uint64_t WorkerProcess::errors_passed_on() const noexcept {
  return errors_ ? static_cast<std::uint64_t>(errors_->passed_on()) : 0;
}

child::TreeStopper& WorkerProcess::tree() {
  if (!tree_) {
    auto& state = ChildAccess::state(child_);
    tree_.emplace(state.pid, state.pidfd.get(), state.killable_group());
  }
  return *tree_;
}

void WorkerProcess::end(Ending why, CrashReport& crash) {
  if (ending_ != Ending::none || !is_alive()) return;
  ending_ = why;
  if (why == Ending::timed_out) {
    where_ = ask_where(child_.fd(), crash);
    if (!where_) no_answer_ = no_answer_text(child_.pid());
  }
  tree().signal(SIGTERM);
}

void WorkerProcess::kill() {
  if (is_alive()) tree().kill();
}

std::expected<Finished, Error> WorkerProcess::leave(bool& stuck) {
  if (tree_) tree_->kill();  // what it has left of its tree
  tree_.reset();
  auto finished =
      ending_ == Ending::none ? child_.wait() : child_.terminate(std::span<const StopStep>{});
  stuck = !errors_->pass_on_rest(stuck);
  child_ = Child{};
  return finished;
}

}  // namespace tine::work
