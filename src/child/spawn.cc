// SPDX-License-Identifier: MIT
#include "child/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "child/after_fork.h"
#include "child/clone.h"
#include "os/futex.h"
#include "os/io.h"
#include "os/pidfd.h"
#include "os/raw_syscall.h"
#include "os/signal_mask.h"

// Compiled without sanitizers: a vfork child runs in here until it reaches after_fork.cc.

namespace tine::child {
namespace {

using os::as_word;
using os::raw_failed;
using os::raw_syscall;

constexpr std::size_t kStackBytes = 20 * 1024;  // become_program and what it calls need under 8 KiB

/// A stack for the child, in the frame of the suspended parent.
struct ChildStack {
  alignas(64) char bytes[kStackBytes];
};

/// What the vfork child and its suspended parent share.
struct Shared {
  const SpawnPlan* plan;
  SpawnReport report{};
  SpawnMethod method{};
  int pidfd = -1;
  long inner = 0;  // of a detached child: its pid or a negated errno
  ChildStack* inner_stack = nullptr;
};

[[noreturn]] void leave(int code) noexcept {
  raw_syscall(SYS_exit_group, code);
  __builtin_unreachable();
}

void child_body(void* argument) {
  auto& shared = *static_cast<Shared*>(argument);
  shared.report = become_program(*shared.plan, shared.method == SpawnMethod::clone3_vfork);
  leave(127);
}

int child_body_for_clone(void* argument) {
  child_body(argument);
  return 0;
}

constexpr std::uint64_t kVfork = CLONE_VM | CLONE_VFORK;

long clone_child(Shared& shared, ChildStack& stack, void (*body)(void*), std::uint64_t flags,
                 int exit_signal) noexcept {
  if (shared.method == SpawnMethod::clone3_vfork) {
    clone_args args{};
    args.flags = flags | CLONE_CLEAR_SIGHAND;
    args.pidfd = reinterpret_cast<std::uint64_t>(&shared.pidfd);
    args.exit_signal = static_cast<std::uint64_t>(exit_signal);
    args.stack = reinterpret_cast<std::uint64_t>(stack.bytes);
    args.stack_size = sizeof stack.bytes;
    // Only the real child's pid belongs into the guardian's table, and it is there before the
    // child can run: a host killed right after this leaves nobody unregistered.
    if ((flags & CLONE_PIDFD) != 0 && shared.plan->slot != nullptr) {
      args.flags |= CLONE_PARENT_SETTID;
      args.parent_tid = reinterpret_cast<std::uint64_t>(&shared.plan->slot->pid);
    }
    return clone3_and_run(args, body, &shared);
  }
  const int pid = ::clone(child_body_for_clone, stack.bytes + sizeof stack.bytes,
                          static_cast<int>(flags) | exit_signal, &shared, &shared.pidfd);
  return pid < 0 ? -errno : pid;
}

/// Makes the real child and is gone at once; shares the parent's table of descriptors, so that the
/// pidfd of the real child is one of the parent's.
void intermediate_body(void* argument) {
  auto& shared = *static_cast<Shared*>(argument);
  shared.inner =
      clone_child(shared, *shared.inner_stack, child_body, kVfork | CLONE_PIDFD, SIGCHLD);
  leave(0);
}

int intermediate_body_for_clone(void* argument) {
  intermediate_body(argument);
  return 0;
}

int reap(pid_t pid) noexcept {
  int status = 0;
  while (::waitpid(pid, &status, __WALL) < 0) {
    if (errno != EINTR) return -1;  // ECHILD: a host that reaps everything was faster
  }
  return status;
}

/// With exit signal 0 the intermediate makes no SIGCHLD, and a wait() of the host passes it over.
/// Source: clone(2), __WCLONE
__attribute__((noinline)) long clone_detached(Shared& shared) noexcept {
  ChildStack outer;
  ChildStack inner;
  shared.inner_stack = &inner;
  // Without the pidfd bit: `shared.pidfd` is for the inner one.
  constexpr std::uint64_t kFlags = kVfork | CLONE_FILES;
  long pid;
  if (shared.method == SpawnMethod::clone3_vfork) {
    clone_args args{};
    args.flags = kFlags | CLONE_CLEAR_SIGHAND;
    args.stack = reinterpret_cast<std::uint64_t>(outer.bytes);
    args.stack_size = sizeof outer.bytes;
    pid = clone3_and_run(args, intermediate_body, &shared);
  } else {
    pid = ::clone(intermediate_body_for_clone, outer.bytes + sizeof outer.bytes,
                  static_cast<int>(kFlags), &shared);
    if (pid < 0) pid = -errno;
  }
  if (raw_failed(pid)) return pid;
  reap(static_cast<pid_t>(pid));
  return shared.inner;
}

__attribute__((noinline)) long clone_direct(Shared& shared) noexcept {
  ChildStack stack;
  return clone_child(shared, stack, child_body, kVfork | CLONE_PIDFD, SIGCHLD);
}

/// The child, or, when its pidfd could not be kept (errno says why), nobody: without a name for it
/// nobody could end it.
std::expected<SpawnedProcess, SpawnReport> named(pid_t pid, Fd pidfd, Kinship kinship) noexcept {
  const int error = errno;
  if (pidfd) return SpawnedProcess{pid, std::move(pidfd)};
  if (kinship == Kinship::child) {
    ::kill(pid, SIGKILL);
    reap(pid);
  }
  return std::unexpected(SpawnReport{Stage::fork, error != 0 ? error : EMFILE, 0});
}

/// A failed child of ours is a zombie that nobody else knows of; a detached one belongs to init.
void clear_failed(pid_t pid, Kinship kinship) noexcept {
  if (kinship == Kinship::child) reap(pid);
}

std::expected<SpawnedProcess, SpawnReport> spawn_by_vfork(const SpawnPlan& plan, Kinship kinship,
                                                          SpawnMethod method) {
  Shared shared{.plan = &plan, .method = method};
  long pid;
  {
    // clone3 makes the child without any handler that could run in our memory. To take the terminal
    // over from the background, it must not hear SIGTTOU either.
    const bool handlers_cleared = method == SpawnMethod::clone3_vfork;
    const os::AllSignalsBlocked blocked(!handlers_cleared || plan.foreground_tty >= 0);
    pid = kinship == Kinship::detached ? clone_detached(shared) : clone_direct(shared);
  }
  if (raw_failed(pid)) {
    return std::unexpected(SpawnReport{Stage::fork, static_cast<int>(-pid), 0});
  }
  Fd pidfd = os::above_stdio(Fd{shared.pidfd});
  if (shared.report.errno_value != 0) {
    if (plan.slot != nullptr) plan.slot->pid.store(0, std::memory_order_release);
    clear_failed(static_cast<pid_t>(pid), kinship);
    return std::unexpected(shared.report);
  }
  return named(static_cast<pid_t>(pid), std::move(pidfd), kinship);
}

// ---- Where vfork is refused: fork, and a pipe for the report ----

struct ForkMessage {
  SpawnReport report{};
  pid_t pid = 0;  // of a detached child
};

[[noreturn]] void forked_child(const SpawnPlan& plan, int report_fd, Kinship kinship) noexcept {
  ForkMessage message;
  if (kinship == Kinship::detached) {
    const long inner = raw_syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (inner != 0) {
      message.pid = static_cast<pid_t>(inner);
      if (raw_failed(inner)) message.report = {Stage::fork, static_cast<int>(-inner), 0};
      raw_syscall(SYS_write, report_fd, as_word(&message), sizeof message);
      leave(0);
    }
  }
  SpawnPlan child_plan = plan;
  child_plan.report_fd = report_fd;
  message.report = become_program(child_plan, false);
  raw_syscall(SYS_write, report_fd, as_word(&message), sizeof message);
  leave(127);
}

/// Reads messages until all writers are gone, which is when the program runs or has failed.
std::expected<pid_t, SpawnReport> read_messages(int fd, pid_t pid) noexcept {
  ForkMessage message;
  SpawnReport report{};
  while (os::read_retry(fd, &message, sizeof message) == static_cast<ssize_t>(sizeof message)) {
    if (message.pid > 0) pid = message.pid;
    if (message.report.errno_value != 0) report = message.report;
  }
  if (report.errno_value != 0) return std::unexpected(report);
  return pid;
}

std::expected<SpawnedProcess, SpawnReport> spawn_by_fork(const SpawnPlan& plan, Kinship kinship) {
  auto ends = os::make_pipe();
  if (!ends) return std::unexpected(SpawnReport{Stage::pipe, ends.error().errno_value, 0});
  // The report must not sit where a target will be put. Mappings are sorted by target.
  const int last = plan.mapping_count > 0 ? plan.mappings[plan.mapping_count - 1].target : 2;
  Fd report_fd{::fcntl(ends->write.get(), F_DUPFD_CLOEXEC, last + 1)};
  if (!report_fd) return std::unexpected(SpawnReport{Stage::pipe, errno, 0});
  ends->write.reset();

  pid_t pid;
  {
    const os::AllSignalsBlocked blocked;
    pid = ::fork();
    if (pid == 0) forked_child(plan, report_fd.get(), kinship);
  }
  if (pid < 0) return std::unexpected(SpawnReport{Stage::fork, errno, 0});
  report_fd.reset();
  Fd pidfd = os::open_pidfd(pid);  // before anything can reap it
  const auto answer = read_messages(ends->read.get(), pid);
  if (!answer || kinship == Kinship::detached) reap(pid);
  if (!answer) {
    if (plan.slot != nullptr) plan.slot->pid.store(0, std::memory_order_release);
    return std::unexpected(answer.error());
  }
  if (kinship == Kinship::detached) pidfd = os::open_pidfd(*answer);
  return named(*answer, std::move(pidfd), kinship);
}

// ---- Which of them works here ----

std::atomic<SpawnMethod> chosen_method{SpawnMethod::automatic};

void probe_body(void* argument) {
  static_cast<Shared*>(argument)->inner = 1;
  leave(0);
}

int probe_body_for_clone(void* argument) {
  probe_body(argument);
  return 0;
}

/// Emulators and some sandboxes accept the flags and copy the memory all the same.
bool shares_memory(SpawnMethod method) noexcept {
  Shared shared{.plan = nullptr, .method = method};
  ChildStack stack;
  const os::AllSignalsBlocked blocked;
  long pid;
  if (method == SpawnMethod::clone3_vfork) {
    clone_args args{};
    args.flags = kVfork | CLONE_CLEAR_SIGHAND;
    args.stack = reinterpret_cast<std::uint64_t>(stack.bytes);
    args.stack_size = sizeof stack.bytes;
    pid = clone3_and_run(args, probe_body, &shared);
  } else {
    pid = ::clone(probe_body_for_clone, stack.bytes + sizeof stack.bytes, static_cast<int>(kVfork),
                  &shared);
  }
  if (pid <= 0) return false;
  reap(static_cast<pid_t>(pid));
  return *static_cast<volatile long*>(&shared.inner) == 1;
}

SpawnMethod find_method() noexcept {
  for (const auto method : {SpawnMethod::clone3_vfork, SpawnMethod::clone_vfork}) {
    if (shares_memory(method)) return method;
  }
  return SpawnMethod::fork;
}

}  // namespace

void set_spawn_method(SpawnMethod method) noexcept { chosen_method.store(method); }

SpawnMethod spawn_method() noexcept {
  auto method = chosen_method.load(std::memory_order_relaxed);
  if (method == SpawnMethod::automatic) {
    method = find_method();
    chosen_method.store(method, std::memory_order_relaxed);
  }
  return method;
}

void LaunchPad::run_child(void* pad) {
  auto& self = *static_cast<LaunchPad*>(pad);
  self.report_ = become_program(self.plan, true);
  leave(127);
}

long LaunchPad::launch(int& pidfd) noexcept {
  clone_args args{};
  args.flags = CLONE_VM | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | CLONE_CHILD_CLEARTID;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.child_tid = reinterpret_cast<std::uint64_t>(&child_);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<std::uint64_t>(stack_);
  args.stack_size = sizeof stack_;
  if (plan.slot != nullptr) {
    args.flags |= CLONE_PARENT_SETTID;
    args.parent_tid = reinterpret_cast<std::uint64_t>(&plan.slot->pid);
  }
  child_.store(1, std::memory_order_relaxed);
  return clone3_and_run(args, run_child, this);
}

void LaunchPad::wait() noexcept {
  while (busy()) os::futex_wait(&child_, 1);
}

std::expected<SpawnedProcess, SpawnReport> spawn_beside(LaunchPad& pad) {
  pad.report_ = {};
  if (spawn_method() != SpawnMethod::clone3_vfork) return spawn(pad.plan, Kinship::child);
  int pidfd = -1;
  const long pid = pad.launch(pidfd);
  if (!raw_failed(pid)) {
    return named(static_cast<pid_t>(pid), os::above_stdio(Fd{pidfd}), Kinship::child);
  }
  pad.child_.store(0, std::memory_order_relaxed);
  return std::unexpected(SpawnReport{Stage::fork, static_cast<int>(-pid), 0});
}

std::expected<SpawnedProcess, SpawnReport> spawn(const SpawnPlan& plan, Kinship kinship) {
  const SpawnMethod method = spawn_method();
  return method == SpawnMethod::fork ? spawn_by_fork(plan, kinship)
                                     : spawn_by_vfork(plan, kinship, method);
}

}  // namespace tine::child
