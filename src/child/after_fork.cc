// SPDX-License-Identifier: MIT

/// Everything that runs in a child between clone and exec, in the order in which it must.
///
/// The child may share its memory with a suspended parent (vfork), of which any thread may hold any
/// lock. So: no allocation, no locks, no libc that could take one or that keeps state (the set*id
/// wrappers signal other threads), only raw system calls and the plan. Compiled without sanitizers,
/// whose run-time would be shared with the parent as well.

#include "child/after_fork.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "os/process_table.h"
#include "os/raw_syscall.h"
#include "os/young_child.h"

namespace tine::child {
namespace {

using os::as_word;
using os::raw_failed;
using os::raw_syscall;

/// As the kernel takes it: libc's struct is larger.
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  std::uint64_t mask;
};

SpawnReport failure(Stage stage, long result, std::uint32_t detail = 0) noexcept {
  return {stage, static_cast<int>(-result), detail};
}

TINE_YOUNG_CHILD void set_default(int signal) noexcept {
  KernelSigaction action{};
  raw_syscall(SYS_rt_sigaction, signal, as_word(&action), 0, sizeof action.mask);
}

/// A program expects to die of these two, whatever its launcher thought of them.
TINE_YOUNG_CHILD void reset_unexpected_ignores() noexcept {
  set_default(SIGPIPE);
  set_default(SIGXFSZ);
}

SpawnReport set_session_and_group(const SpawnPlan& plan) noexcept {
  if (plan.new_session) {
    if (const long r = raw_syscall(SYS_setsid); raw_failed(r)) return failure(Stage::session, r);
  } else if (plan.set_group) {
    const long r = raw_syscall(SYS_setpgid, 0, plan.group);
    if (raw_failed(r)) return failure(Stage::process_group, r);
  }
  if (plan.controlling_tty >= 0) {
    const long r = raw_syscall(SYS_ioctl, plan.controlling_tty, TIOCSCTTY, 0);
    if (raw_failed(r)) return failure(Stage::pseudo_terminal, r);
  }
  if (plan.foreground_tty >= 0) {
    // From the background this would raise SIGTTOU; all signals are blocked, so it goes through.
    const int group = static_cast<int>(raw_syscall(SYS_getpgid, 0));
    const long r = raw_syscall(SYS_ioctl, plan.foreground_tty, TIOCSPGRP, as_word(&group));
    if (raw_failed(r)) return failure(Stage::foreground, r);
  }
  return {};
}

/// Not an error then: the child gets /dev/null in its place.
bool may_be_missing(const FdMapping& mapping) noexcept {
  return mapping.origin == FdOrigin::inherited && mapping.target <= 2;
}

/// Takes sources out of the way of targets, so that mappings may overlap in any manner, such as a
/// swap of 1 and 2.
SpawnReport move_sources_above_targets(const SpawnPlan& plan) noexcept {
  int highest = 2;
  for (std::size_t i = 0; i < plan.mapping_count; ++i) {
    if (plan.mappings[i].target > highest) highest = plan.mappings[i].target;
  }
  for (std::size_t i = 0; i < plan.mapping_count; ++i) {
    FdMapping& mapping = plan.mappings[i];
    if (mapping.source == mapping.target) continue;
    bool in_the_way = false;
    for (std::size_t k = 0; k < i; ++k) {
      in_the_way = in_the_way || plan.mappings[k].target == mapping.source;
    }
    if (!in_the_way) continue;
    const long moved = raw_syscall(SYS_fcntl, mapping.source, F_DUPFD_CLOEXEC, highest + 1);
    if (raw_failed(moved)) {
      if (moved == -EBADF && may_be_missing(mapping)) {
        mapping.source = -1;  // missing in the parent: by now its number may be another's target
        continue;
      }
      return failure(Stage::descriptors, moved, static_cast<std::uint32_t>(mapping.source));
    }
    mapping.source = static_cast<int>(moved);
  }
  return {};
}

/// A stdio descriptor that the parent itself lacks: without one, the next file that the program
/// opens would become its stdin or stdout.
long put_null_at(int target) noexcept {
  const long fd = raw_syscall(SYS_openat, AT_FDCWD, as_word("/dev/null"), O_RDWR, 0);
  if (raw_failed(fd) || fd == target) return fd;
  const long r = raw_syscall(SYS_dup3, fd, target, 0);
  raw_syscall(SYS_close, fd);
  return r;
}

long place(const FdMapping& mapping) noexcept {
  if (mapping.source != mapping.target) {
    return raw_syscall(SYS_dup3, mapping.source, mapping.target, 0);
  }
  const long flags = raw_syscall(SYS_fcntl, mapping.source, F_GETFD);
  if (raw_failed(flags) || (flags & FD_CLOEXEC) == 0) return flags;
  return raw_syscall(SYS_fcntl, mapping.source, F_SETFD, flags & ~FD_CLOEXEC);
}

/// Programs do not expect EAGAIN on stdio, but event loops of others leave shared ones that way.
long make_blocking(int fd) noexcept {
  const long flags = raw_syscall(SYS_fcntl, fd, F_GETFL);
  if (raw_failed(flags) || (flags & O_NONBLOCK) == 0) return flags;
  return raw_syscall(SYS_fcntl, fd, F_SETFL, flags & ~O_NONBLOCK);
}

/// EBADF is about the source when that is not open, else about a target beyond RLIMIT_NOFILE.
SpawnReport bad_descriptor(const FdMapping& mapping, long result) noexcept {
  const bool source_is_open = !raw_failed(raw_syscall(SYS_fcntl, mapping.source, F_GETFD));
  const int guilty = source_is_open ? mapping.target : mapping.source;
  return failure(Stage::descriptors, result, static_cast<std::uint32_t>(guilty));
}

SpawnReport place_descriptors(const SpawnPlan& plan) noexcept {
  if (auto report = move_sources_above_targets(plan); report.errno_value != 0) return report;
  for (std::size_t i = 0; i < plan.mapping_count; ++i) {
    const FdMapping& mapping = plan.mappings[i];
    const bool untouched = mapping.origin == FdOrigin::inherited &&
                           mapping.source == mapping.target && mapping.target <= 2;
    long r = untouched ? 0 : place(mapping);
    if (!raw_failed(r) && mapping.origin != FdOrigin::ours && mapping.target <= 2) {
      r = make_blocking(mapping.target);
    }
    if (r == -EBADF && may_be_missing(mapping)) r = put_null_at(mapping.target);
    if (raw_failed(r)) return bad_descriptor(mapping, r);
  }
  return {};
}

long write_oom_score(const char* text) noexcept {
  long size = 0;
  while (text[size] != '\0') ++size;
  const int file = os::open_raw("/proc/self/oom_score_adj", O_WRONLY);
  if (file < 0) return file;
  const long r = raw_syscall(SYS_write, file, as_word(text), size);
  os::close_raw(file);
  return r;
}

SpawnReport set_surroundings(const SpawnPlan& plan) noexcept {
  if (plan.cwd != nullptr) {
    if (const long r = raw_syscall(SYS_chdir, as_word(plan.cwd)); raw_failed(r)) {
      return failure(Stage::cwd, r);
    }
  }
  if (plan.set_umask) raw_syscall(SYS_umask, plan.umask);
  for (std::size_t i = 0; i < plan.limit_count; ++i) {
    const LimitChange& change = plan.limits[i];
    const long r = raw_syscall(SYS_prlimit64, 0, change.resource, as_word(&change.limit), 0);
    if (raw_failed(r)) {
      return failure(Stage::resource_limit, r, static_cast<std::uint32_t>(change.resource));
    }
  }
  if (plan.cpu_mask != nullptr) {
    const long r = raw_syscall(SYS_sched_setaffinity, 0, static_cast<long>(plan.cpu_mask_bytes),
                               as_word(plan.cpu_mask));
    if (raw_failed(r)) return failure(Stage::affinity, r);
  }
  if (plan.set_io_priority) {
    constexpr long kThisProcess = 1;  // IOPRIO_WHO_PROCESS
    const long r = raw_syscall(SYS_ioprio_set, kThisProcess, 0, plan.io_priority);
    if (raw_failed(r)) return failure(Stage::nice, r);
  }
  if (plan.oom_score != nullptr) {
    if (const long r = write_oom_score(plan.oom_score); raw_failed(r)) {
      return failure(Stage::oom_score, r);
    }
  }
  if (plan.set_nice) {
    // The raw call gives 20 - nice, so that no valid answer is negative.
    const long now = 20 - raw_syscall(SYS_getpriority, 0, 0);
    const long r = raw_syscall(SYS_setpriority, 0, 0, now + plan.nice);
    if (raw_failed(r)) return failure(Stage::nice, r);
  }
  return {};
}

SpawnReport set_identity(const SpawnPlan& plan) noexcept {
  if (plan.set_groups) {
    const long r =
        raw_syscall(SYS_setgroups, static_cast<long>(plan.group_count), as_word(plan.groups));
    if (raw_failed(r)) return failure(Stage::groups, r);
  }
  if (plan.set_gid) {
    const long r = raw_syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid);
    if (raw_failed(r)) return failure(Stage::gid, r);
  }
  if (plan.set_uid) {
    const long r = raw_syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid);
    if (raw_failed(r)) return failure(Stage::uid, r);
  }
  return {};
}

bool is_kept(const SpawnPlan& plan, int fd) noexcept {
  for (std::size_t i = 0; i < plan.kept_count; ++i) {
    if (plan.kept[i] == fd) return true;
  }
  return false;
}

/// For kernels before 5.9: what /proc lists. Never a loop to RLIMIT_NOFILE, which may be 2^30.
void close_by_listing(const SpawnPlan& plan) noexcept {
  const int listing = os::open_raw("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  if (listing < 0) return;  // CLOEXEC, which all fds of this library have, is the first line
  alignas(8) char block[2048];
  long got;
  while ((got = raw_syscall(SYS_getdents64, listing, as_word(block), sizeof block)) > 0) {
    for (long at = 0; at < got;) {
      const char* name = block + at + 19;
      at += *reinterpret_cast<const std::uint16_t*>(block + at + 16);
      if (*name < '0' || *name > '9') continue;
      int fd = 0;
      for (; *name != '\0'; ++name) fd = fd * 10 + (*name - '0');
      if (fd > 2 && fd != listing && fd != plan.exec_fd && fd != plan.report_fd &&
          !is_kept(plan, fd)) {
        os::close_raw(fd);
      }
    }
  }
  os::close_raw(listing);
}

/// Marks them to be closed by the exec instead of closing at once, so that an exec_fd and the
/// report_fd stay usable until then.
void close_the_rest(const SpawnPlan& plan) noexcept {
  unsigned first = 3;
  for (std::size_t i = 0; i <= plan.kept_count; ++i) {
    const bool last = i == plan.kept_count;
    const unsigned end = last ? ~0u : static_cast<unsigned>(plan.kept[i]) - 1;
    if (first <= end) {
      const long r = raw_syscall(SYS_close_range, first, end, CLOSE_RANGE_CLOEXEC);
      if (raw_failed(r)) return close_by_listing(plan);
    }
    if (!last) first = static_cast<unsigned>(plan.kept[i]) + 1;
  }
}

/// The most telling error wins: a candidate that exists but is refused says more than the absence
/// of the next one.
SpawnReport execute(const SpawnPlan& plan) noexcept {
  if (plan.exec_fd >= 0) {
    return failure(Stage::exec, raw_syscall(SYS_execveat, plan.exec_fd, as_word(""),
                                            as_word(plan.argv), as_word(plan.envp), AT_EMPTY_PATH));
  }
  SpawnReport first_real{Stage::exec, ENOENT, 0};
  for (std::uint32_t i = 0; plan.candidates[i] != nullptr; ++i) {
    const long r = raw_syscall(SYS_execve, as_word(plan.candidates[i]), as_word(plan.argv),
                               as_word(plan.envp));
    const bool absent = r == -ENOENT || r == -ENOTDIR;
    if (absent) continue;
    const SpawnReport report = failure(Stage::exec, r, i);
    if (r != -EACCES) return report;
    if (first_real.errno_value == ENOENT) first_real = report;
  }
  return first_real;
}

}  // namespace

TINE_YOUNG_CHILD void reset_signal_handlers() noexcept {
  for (int signal = 1; signal <= 64; ++signal) {
    KernelSigaction action{};
    if (raw_failed(raw_syscall(SYS_rt_sigaction, signal, 0, as_word(&action), 8))) continue;
    if (action.handler != SIG_DFL && action.handler != SIG_IGN) set_default(signal);
  }
  reset_unexpected_ignores();
}

SpawnReport become_program(const SpawnPlan& plan, bool handlers_cleared) noexcept {
  if (plan.slot != nullptr && plan.slot->pid.load(std::memory_order_relaxed) == 0) {
    plan.slot->pid.store(static_cast<int>(raw_syscall(SYS_getpid)), std::memory_order_release);
  }
  handlers_cleared ? reset_unexpected_ignores() : reset_signal_handlers();
  SpawnReport report = set_session_and_group(plan);
  // Before the limits: a lowered RLIMIT_NOFILE would refuse the shuffle.
  if (report.errno_value == 0) report = place_descriptors(plan);
  if (report.errno_value == 0) report = set_surroundings(plan);
  if (report.errno_value == 0) report = set_identity(plan);
  if (report.errno_value != 0) return report;
  close_the_rest(plan);
  const std::uint64_t none = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, as_word(&none), 0, sizeof none);
  return execute(plan);
}

}  // namespace tine::child
