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

template <class Action>
void for_each_child(GuardianTable& table, Action&& action) {
  const std::uint32_t used = table.used.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < used; ++i) {
    if (table.slots[i].pid.load(std::memory_order_acquire) > 0) action(table.slots[i]);
  }
}

/// Without /proc there is no family to be seen: then the child and its group have to do.
void signal_by_number(const GuardianSlot& slot, int signal) {
  const int pid = slot.pid.load(std::memory_order_acquire);
  const int group = slot.group.load(std::memory_order_relaxed);
  if (pid <= 0) return;
  if (group != 0) raw_syscall(SYS_kill, -(group < 0 ? pid : group), signal);
  raw_syscall(SYS_kill, pid, signal);
}

/// What has been sent TERM for a deadline and gets KILL when its grace is over, whatever has become
/// of its parent and its slot by then.
struct Doomed {
  int pid;
  std::uint64_t start;
  std::int64_t kill_at;
};

class DoomedList {
 public:
  void add(const Doomed& doomed) {
    // Without memory for it: its slot, or its group, is what is left to find it by.
    [[maybe_unused]] const bool kept = list_.push_back(doomed);
    if (doomed.kill_at < next_) next_ = doomed.kill_at;
  }
  [[nodiscard]] std::int64_t next() const { return next_; }
  [[nodiscard]] bool holds(const os::ProcessEntry& entry, std::int64_t until) const {
    for (const Doomed& doomed : list_) {
      if (doomed.pid == entry.pid && doomed.start == entry.start && doomed.kill_at <= until) {
        return true;
      }
    }
    return false;
  }
  void drop(std::int64_t until) {
    std::size_t kept = 0;
    next_ = kNever;
    for (const Doomed& doomed : list_) {
      if (doomed.kill_at <= until) continue;
      if (doomed.kill_at < next_) next_ = doomed.kill_at;
      list_[kept++] = doomed;
    }
    list_.truncate(kept);
  }

 private:
  os::MappedArray<Doomed> list_;
  std::int64_t next_ = kNever;
};

/// A host that replaced itself by exec may reap its children without clearing their slots.
void clear_recycled(GuardianTable& table) {
  if (!os::proc_is_ours()) return;
  for_each_child(table, [](GuardianSlot& slot) {
    const std::uint64_t latest = slot.latest_start.load(std::memory_order_acquire);
    os::ProcessEntry entry;
    if (latest != 0 && os::read_stat(slot.pid.load(), entry) && entry.start > latest) {
      slot.pid.store(0);
    }
  });
}

bool carries_mark(const GuardianTable& table, const os::ProcessEntry& entry) {
  for (const GuardianMark& mark : table.marks) {
    const std::uint32_t length = mark.length.load(std::memory_order_acquire);
    if (length != 0 && os::environment_holds(entry.pid, mark.text, length)) return true;
  }
  return false;
}

/// The host is dead: everything in the table goes, until a look finds nothing any more.
void kill_all(GuardianTable& table, const DoomedList& doomed, int self) {
  clear_recycled(table);
  bool anybody = doomed.next() != kNever;
  for (const GuardianMark& mark : table.marks) anybody = anybody || mark.length.load() != 0;
  for_each_child(table, [&](GuardianSlot&) { anybody = true; });
  if (!anybody) return;
  if (!os::proc_is_ours()) {
    return for_each_child(table, [](GuardianSlot& slot) { signal_by_number(slot, SIGKILL); });
  }
  const auto is_root = [&](const os::ProcessEntry& entry) {
    bool found = doomed.holds(entry, kNever);
    for_each_child(table, [&](GuardianSlot& slot) { found = found || belongs_to(slot, entry); });
    return found || carries_mark(table, entry);
  };
  constexpr int kMostRounds = 100;
  for (int round = 0; round < kMostRounds; ++round) {
    if (os::freeze_and_kill(is_root, self) == 0) return;
  }
}

void signal_family(const GuardianSlot& slot, int signal, std::int64_t kill_at, DoomedList& doomed,
                   int self) {
  os::ProcessTable processes;
  if (!processes.scan()) {
    signal_by_number(slot, signal);
    return doomed.add({slot.pid.load(), 0, kill_at});
  }
  processes.mark_family([&](const auto& entry) { return belongs_to(slot, entry); }, self);
  for (const auto& entry : processes) {
    if (!entry.member || entry.state == 'Z') continue;
    doomed.add({entry.pid, entry.start, kill_at});
    os::signal_entry(entry, signal);
    // A stopped process acts on TERM only once it runs again.
    if (entry.state == 'T') os::signal_entry(entry, SIGCONT);
  }
}

bool try_lock(GuardianSlot& slot) {
  std::uint32_t unlocked = 0;
  return slot.lock.compare_exchange_strong(unlocked, kGuardianHoldsLock);
}

/// It ended in time and only waits to be reaped.
bool has_ended(const GuardianSlot& slot) {
  const long pidfd = raw_syscall(SYS_pidfd_open, slot.pid.load(), 0);
  if (os::raw_failed(pidfd)) return false;
  pollfd end{static_cast<int>(pidfd), POLLIN, 0};
  const timespec now{};
  const long ended = raw_syscall(SYS_ppoll, as_word(&end), 1, as_word(&now), 0, 8);
  os::close_raw(end.fd);
  return ended == 1;
}

/// TERM for a slot whose deadline has passed. Gives when to look at it again.
std::int64_t enforce_deadline(GuardianSlot& slot, std::int64_t now, DoomedList& doomed, int self) {
  const std::int64_t deadline = slot.deadline.load();
  if (deadline == 0 || slot.timed_out.load() != 0) return kNever;
  if (now < deadline + kHostGoesFirst) return deadline + kHostGoesFirst;
  if (!try_lock(slot)) return now + 1'000'000;
  std::int64_t next = kNever;
  // What was read before the lock may have been about the slot's last child.
  const std::int64_t due = slot.deadline.load();
  std::uint32_t nobody = 0;
  if (slot.pid.load() > 0 && due != 0 && now < due + kHostGoesFirst) {
    next = due + kHostGoesFirst;
  } else if (slot.pid.load() > 0 && due != 0 && !has_ended(slot) &&
             slot.timed_out.compare_exchange_strong(nobody, kGuardianTerm)) {
    slot.deadline.store(now);  // the grace begins here, however late that is
    signal_family(slot, SIGTERM, now + slot.grace.load(), doomed, self);
  }
  slot.lock.store(0);
  return next;
}

/// KILL for all whose grace is over, in one look at the processes.
void kill_doomed(GuardianTable& table, DoomedList& doomed, std::int64_t now, int self) {
  const auto in_hand = [](const GuardianSlot& slot) {
    return slot.lock.load() == kGuardianHoldsLock;
  };
  for_each_child(table, [&](GuardianSlot& slot) {
    const auto is_due = [&] {
      return slot.timed_out.load() == kGuardianTerm &&
             slot.deadline.load() + slot.grace.load() <= now;
    };
    // Its host holds the lock when it is just reaping it; what is left is on the list.
    if (is_due() && try_lock(slot) && !is_due()) slot.lock.store(0);
  });
  os::freeze_and_kill(
      [&](const os::ProcessEntry& entry) {
        bool found = doomed.holds(entry, now);
        for_each_child(table, [&](GuardianSlot& slot) {
          found = found || (in_hand(slot) && belongs_to(slot, entry));
        });
        return found;
      },
      self);
  const bool blind = !os::proc_is_ours();
  for_each_child(table, [&](GuardianSlot& slot) {
    if (!in_hand(slot)) return;
    if (blind) signal_by_number(slot, SIGKILL);
    slot.timed_out.store(kGuardianKill);
    slot.lock.store(0);
  });
  doomed.drop(now);
}

std::int64_t enforce_deadlines(GuardianTable& table, DoomedList& doomed, int self) {
  const std::int64_t now = now_ns();
  if (doomed.next() <= now) kill_doomed(table, doomed, now, self);
  std::int64_t next = kNever;
  for_each_child(table, [&](GuardianSlot& slot) {
    const std::int64_t due = enforce_deadline(slot, now, doomed, self);
    if (due < next) next = due;
  });
  return doomed.next() < next ? doomed.next() : next;
}

/// Until when to sleep, said in the table before the last look: a deadline set after that look
/// wakes us, one set before it has been seen.
std::int64_t announce_sleep(GuardianTable& table, DoomedList& doomed, int self) {
  std::int64_t announced = 0;
  for (;;) {
    const std::int64_t next = enforce_deadlines(table, doomed, self);
    if (announced != 0 && next >= announced) return announced;
    announced = next;
    table.asleep_until.store(announced);
  }
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
  DoomedList doomed;
  for (;;) {
    pollfd watched[2] = {{kGuardianHostFd, POLLIN, 0}, {kGuardianWakeFd, POLLIN, 0}};
    wait_for_event(announce_sleep(table, doomed, self), watched);
    table.asleep_until.store(0);
    if (watched[0].revents != 0) {
      kill_all(table, doomed, self);
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
