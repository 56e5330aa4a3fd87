// SPDX-License-Identifier: MIT
#include "os/pidfd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "os/io.h"

namespace tine::os {

Fd above_stdio(Fd fd) noexcept {
  if (fd.get() < 0 || fd.get() > 2) return fd;
  return Fd{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3)};
}

Fd open_pidfd(pid_t pid) noexcept {
  return above_stdio(Fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))});
}

namespace {
enum class Ability : unsigned char { unknown, there, missing };
std::atomic<Ability> group_by_pidfd{Ability::unknown};
}  // namespace

void kill_group(int pidfd, pid_t group) noexcept {
  constexpr unsigned kProcessGroup = 1u << 2;  // PIDFD_SIGNAL_PROCESS_GROUP
  if (group_by_pidfd.load(std::memory_order_relaxed) != Ability::missing) {
    const long sent = ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, kProcessGroup);
    const bool understood = sent == 0 || (errno != EINVAL && errno != ENOSYS);
    group_by_pidfd.store(understood ? Ability::there : Ability::missing, std::memory_order_relaxed);
    if (understood) return;  // also when nobody is there, or nobody that we may kill
  }
  ::kill(-group, SIGKILL);
}

bool groups_have_pidfds() noexcept {
  return group_by_pidfd.load(std::memory_order_relaxed) == Ability::there;
}

int send_signal(int pidfd, int signal) noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0 ? 0 : errno;
}

bool poll_both(pollfd (&watched)[2], Deadline deadline) noexcept {
  for (;;) {
    timespec left{};
    if (deadline) {
      const auto ns = (*deadline - std::chrono::steady_clock::now()).count();
      if (ns > 0) left = {ns / 1'000'000'000, ns % 1'000'000'000};
    }
    const int ready = ::ppoll(watched, 2, deadline ? &left : nullptr, nullptr);
    if (ready >= 0) return ready > 0;
    // EINTR: nothing else is possible with valid arguments
  }
}

PidfdWait poll_pidfd(int pidfd, int other, Deadline deadline) noexcept {
  pollfd watched[2] = {{pidfd, POLLIN, 0}, {other, POLLIN, 0}};
  if (!poll_both(watched, deadline)) return PidfdWait::timed_out;
  return watched[0].revents != 0 ? PidfdWait::ended : PidfdWait::other_readable;
}

namespace {

std::chrono::microseconds to_duration(const timeval& time) noexcept {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

/// Whether `max_rss` is above our own high-water mark. That only grows, so an old figure answers
/// for most children.
bool above_own_high_water(std::uint64_t max_rss) noexcept {
  static std::atomic<std::uint64_t> known{0};
  if (max_rss <= known.load(std::memory_order_relaxed)) return false;
  rusage own{};
  ::getrusage(RUSAGE_SELF, &own);
  known.store(static_cast<std::uint64_t>(own.ru_maxrss) * 1024, std::memory_order_relaxed);
  return max_rss > known.load(std::memory_order_relaxed);
}

Usage to_usage(const rusage& used) noexcept {
  Usage usage;
  usage.user = to_duration(used.ru_utime);
  usage.sys = to_duration(used.ru_stime);
  const auto max_rss = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
  if (above_own_high_water(max_rss)) usage.max_rss = max_rss;
  usage.minor_faults = static_cast<std::uint64_t>(used.ru_minflt);
  usage.major_faults = static_cast<std::uint64_t>(used.ru_majflt);
  usage.voluntary_switches = static_cast<std::uint64_t>(used.ru_nvcsw);
  usage.involuntary_switches = static_cast<std::uint64_t>(used.ru_nivcsw);
  return usage;
}

ExitStatus to_status(const siginfo_t& info) noexcept {
  if (info.si_code == CLD_EXITED) return ExitStatus::exited(info.si_status);
  return ExitStatus::signaled(info.si_status, info.si_code == CLD_DUMPED);
}

}  // namespace

std::expected<std::optional<Reaped>, int> wait_pidfd(int pidfd, Reap how, bool block) noexcept {
  const int flags = WEXITED | __WALL | (how == Reap::keep ? WNOWAIT : 0) | (block ? 0 : WNOHANG);
  siginfo_t info{};
  rusage used{};
  for (;;) {
    // The raw call: its fifth argument, which libc hides, is the rusage.
    const long r = ::syscall(SYS_waitid, P_PIDFD, pidfd, &info, flags, &used);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return std::unexpected(errno);
    if (info.si_pid == 0) return std::nullopt;
    return Reaped{to_status(info), how == Reap::keep ? Usage{} : to_usage(used)};
  }
}

namespace {

/// As in linux/pidfd.h of 6.15, which Debian 12 does not have.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t pid, tgid, ppid;
  std::uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t kInfoExit = 1u << 3;

}  // namespace

std::optional<ExitStatus> zombie_status(int pidfd, pid_t pid) {
  std::string stat;
  if (!has_ended(pidfd)) return std::nullopt;
  if (read_file(("/proc/" + std::to_string(pid) + "/stat").c_str(), stat) != 0) return std::nullopt;
  // Reaped, the number may be another's. A signal, even none, reaches a zombie, but not what is
  // no more.
  if (send_signal(pidfd, 0) != 0) return std::nullopt;
  const std::size_t name_end = stat.rfind(") ");  // the name may hold anything
  if (name_end == std::string::npos || stat.compare(name_end, 3, ") Z") != 0) return std::nullopt;
  const std::size_t last = stat.find_last_of("0123456789");
  const std::size_t before = stat.rfind(' ', last);
  return ExitStatus::from_wait_status(std::atoi(stat.c_str() + before + 1));
}

std::optional<ExitStatus> exit_info(int pidfd, std::chrono::milliseconds limit) noexcept {
  pollfd reaped{pidfd, 0, 0};  // POLLHUP needs no asking for
  const auto until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = until - std::chrono::steady_clock::now();
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    if (::poll(&reaped, 1, static_cast<int>(ms > 0 ? ms : 0)) >= 0 || errno != EINTR) break;
  }
  PidfdInfo info{};
  info.mask = kInfoExit;
  if (::ioctl(pidfd, _IOWR(0xFF, 11, PidfdInfo), &info) != 0) return std::nullopt;
  if ((info.mask & kInfoExit) == 0) return std::nullopt;
  return ExitStatus::from_wait_status(info.exit_code);
}

}  // namespace tine::os
