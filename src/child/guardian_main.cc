// SPDX-License-Identifier: MIT

/// The guardian: a tiny process that outlives its host by a millisecond, long enough to kill what
/// the host left behind. It also ends children whose deadline passes while the host is busy.
///
/// A program of its own without libc: it is embedded in the library and executed from memory, costs
/// some ten pages and can wait for ever. It holds the shared table, a pidfd of the host and an
/// eventfd; see guardian_table.h. It is a child of init, so the host's wait() never sees it.

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "child/guardian_table.h"
#include "os/process_table.h"
#include "os/raw_syscall.h"

using tine::os::as_word;
using tine::os::raw_syscall;

namespace tine::child {
namespace {

constexpr std::int64_t kNever = INT64_MAX;

std::int64_t now_ns() {
  timespec now{};
  raw_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, as_word(&now));
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void leave() {
  raw_syscall(SYS_exit_group, 0);
  __builtin_unreachable();
}

bool belongs_to(const GuardianSlot& slot, const os::ProcessEntry& entry) {
  const int pid = slot.pid.load(std::memory_order_acquire);
  if (pid <= 0) return false;
  const int group = slot.group.load(std::memory_order_relaxed);
  return entry.pid == pid || (group != 0 && entry.group == (group < 0 ? pid : group));
}

/// Without /proc there is no family to be seen: then those in the table and their groups have to
/// do.
void kill_by_number(const GuardianTable& table) {
  const int proc = os::open_raw("/proc/self/stat", O_RDONLY);
  if (proc >= 0) return os::close_raw(proc);
  const std::uint32_t used = table.used.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < used; ++i) {
    const int pid = table.slots[i].pid.load(std::memory_order_acquire);
    const int group = table.slots[i].group.load(std::memory_order_relaxed);
    if (pid <= 0) continue;
    if (group != 0) raw_syscall(SYS_kill, -(group < 0 ? pid : group), SIGKILL);
    raw_syscall(SYS_kill, pid, SIGKILL);
  }
}

/// The host is dead: everything in the table goes, until a look finds nothing any more.
void kill_all(GuardianTable& table, int self) {
  const auto is_root = [&table](const os::ProcessEntry& entry) {
    const std::uint32_t used = table.used.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < used; ++i) {
      if (belongs_to(table.slots[i], entry)) return true;
    }
    return os::environment_holds(entry.pid, table.mark,
                                 table.mark_length.load(std::memory_order_acquire));
  };
  bool anybody = table.mark_length.load(std::memory_order_acquire) != 0;
  for (std::uint32_t i = 0; i < table.used.load(std::memory_order_acquire); ++i) {
    anybody = anybody || table.slots[i].pid.load(std::memory_order_acquire) > 0;
  }
  if (!anybody) return;
  kill_by_number(table);
  constexpr int kMostRounds = 100;
  for (int round = 0; round < kMostRounds; ++round) {
    if (os::freeze_and_kill(is_root, self) == 0) return;
  }
}

void signal_family(const GuardianSlot& slot, int signal, int self) {
  os::ProcessTable processes;
  if (!processes.scan()) return;
  processes.mark_family([&](const auto& entry) { return belongs_to(slot, entry); }, self);
  for (const auto& entry : processes) {
    if (!entry.member || entry.state == 'Z') continue;
    os::signal_entry(entry, signal);
    // A stopped process acts on TERM only once it runs again.
    if (signal != SIGKILL && (entry.state == 'T')) os::signal_entry(entry, SIGCONT);
  }
}

constexpr std::uint32_t kHostActs = 1;
constexpr std::uint32_t kGuardianTerm = 2;
constexpr std::uint32_t kGuardianKill = 3;

/// It ended in time and only waits to be reaped.
bool has_ended(const GuardianSlot& slot) {
  os::ProcessEntry entry;
  return os::read_stat(slot.pid.load(), entry) && entry.state == 'Z';
}

/// What is due for one slot, and when to look at it again.
std::int64_t enforce_deadline(GuardianSlot& slot, std::int64_t now, int self) {
  std::int64_t deadline = slot.deadline.load(std::memory_order_acquire);
  if (deadline == 0 || slot.pid.load(std::memory_order_acquire) <= 0) return kNever;
  if (slot.timed_out.load() == kGuardianTerm) deadline += slot.grace.load();
  if (slot.timed_out.load() == kHostActs || slot.timed_out.load() == kGuardianKill) return kNever;
  if (now < deadline) return deadline;

  std::uint32_t unlocked = 0;
  if (!slot.lock.compare_exchange_strong(unlocked, kGuardianHoldsLock)) return now + 1'000'000;
  std::int64_t next = kNever;
  std::uint32_t nobody = 0;
  // What was read before the lock may have been about the slot's last child.
  const std::uint32_t phase = slot.timed_out.load();
  const std::int64_t due = slot.deadline.load() + (phase == kGuardianTerm ? slot.grace.load() : 0);
  if (slot.pid.load() > 0 && slot.deadline.load() != 0 && now < due) {
    next = due;
  } else if (slot.pid.load() > 0 && slot.deadline.load() != 0 && !has_ended(slot)) {
    if (slot.timed_out.compare_exchange_strong(nobody, kGuardianTerm)) {
      signal_family(slot, SIGTERM, self);
      next = slot.deadline.load() + slot.grace.load();
    } else if (nobody == kGuardianTerm) {
      os::freeze_and_kill([&](const auto& entry) { return belongs_to(slot, entry); }, self);
      slot.timed_out.store(kGuardianKill);
    }
  }
  slot.lock.store(0);
  return next;
}

std::int64_t enforce_deadlines(GuardianTable& table, int self) {
  std::int64_t next = kNever;
  const std::int64_t now = now_ns();
  const std::uint32_t used = table.used.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < used; ++i) {
    const std::int64_t due = enforce_deadline(table.slots[i], now, self);
    if (due < next) next = due;
  }
  return next;
}

void wait_for_event(std::int64_t until, pollfd (&watched)[2]) {
  timespec limit{};
  if (until != kNever) {
    const std::int64_t left = until - now_ns();
    if (left > 0) limit = {left / 1'000'000'000, left % 1'000'000'000};
  }
  raw_syscall(SYS_ppoll, as_word(watched), 2, until == kNever ? 0 : as_word(&limit), 0, 8);
}

/// Lets the kernel mark our death in the table. A robust list of one entry, whose word lies where
/// the offset says, seen from the entry itself.
void register_life(GuardianTable& table, int self) {
  static robust_list entry;
  static robust_list_head head;
  entry.next = &head.list;
  head.list.next = &entry;
  head.futex_offset = reinterpret_cast<long>(&table.life) - reinterpret_cast<long>(&entry);
  table.life.store(static_cast<std::uint32_t>(self), std::memory_order_release);
  raw_syscall(SYS_set_robust_list, as_word(&head), sizeof head);
}

[[noreturn]] void watch(GuardianTable& table) {
  const int self = static_cast<int>(raw_syscall(SYS_getpid));
  register_life(table, self);
  for (;;) {
    pollfd watched[2] = {{kGuardianHostFd, POLLIN, 0}, {kGuardianWakeFd, POLLIN, 0}};
    wait_for_event(enforce_deadlines(table, self), watched);
    if (watched[0].revents != 0) {
      kill_all(table, self);
      leave();
    }
    if (watched[1].revents != 0) {
      std::uint64_t count;
      raw_syscall(SYS_read, kGuardianWakeFd, as_word(&count), sizeof count);
    }
  }
}

}  // namespace
}  // namespace tine::child

extern "C" [[noreturn]] __attribute__((used)) void guardian_main() {
  using tine::child::GuardianTable;
  const std::uint64_t all_signals = ~std::uint64_t{0};
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, as_word(&all_signals), 0, sizeof all_signals);
  const long at = raw_syscall(SYS_mmap, 0, sizeof(GuardianTable), PROT_READ | PROT_WRITE,
                              MAP_SHARED, tine::child::kGuardianTableFd, 0);
  if (tine::os::raw_failed(at)) tine::child::leave();
  tine::child::watch(*reinterpret_cast<GuardianTable*>(at));
}

#if defined(__x86_64__)
asm(".globl _start\n_start:\n  xor %ebp, %ebp\n  and $-16, %rsp\n  call guardian_main\n");
#elif defined(__aarch64__)
asm(".globl _start\n_start:\n  mov x29, #0\n  bl guardian_main\n");
#endif

// What the compiler may call without being asked.
extern "C" void* memset(void* at, int byte, size_t size) {
  for (size_t i = 0; i < size; ++i) static_cast<volatile char*>(at)[i] = static_cast<char>(byte);
  return at;
}
extern "C" void* memcpy(void* to, const void* from, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    static_cast<volatile char*>(to)[i] = static_cast<const char*>(from)[i];
  }
  return to;
}
