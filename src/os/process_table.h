// SPDX-License-Identifier: MIT
#pragma once

/// A snapshot of all processes, and signals to a family of them: shared by the library and by the
/// guardian, so nothing in here needs libc.
///
/// A family is a set of roots and whatever descends from them. A process that left its parent
/// (reparented) and its group is found only if it is a root by some other sign, such as the mark in
/// its environment.
/// Source: proc(5), /proc/PID/stat; getdents64(2); pidfd_open(2)

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "os/raw_fd.h"
#include "os/raw_syscall.h"

namespace tine::os {

struct ProcessEntry {
  int pid;
  int parent;
  int group;
  int session;
  uint64_t start;  ///< ticks since boot: with the pid it names one process for ever
  char state;
  bool member;    ///< of the family that is being looked for
  bool signaled;  ///< has been sent the stop of freeze_and_kill
};

/// `/proc/<pid>/<leaf>` for small buffers without libc.
class ProcPath {
 public:
  ProcPath(int pid, const char* leaf) noexcept {
    char* at = append(text_, "/proc/");
    char digits[12];
    int n = 0;
    do {
      digits[n++] = static_cast<char>('0' + pid % 10);
      pid /= 10;
    } while (pid > 0);
    while (n > 0) *at++ = digits[--n];
    *at++ = '/';
    *append(at, leaf) = '\0';
  }
  [[nodiscard]] const char* text() const noexcept { return text_; }

 private:
  static char* append(char* at, const char* from) noexcept {
    while (*from != '\0') *at++ = *from++;
    return at;
  }
  char text_[48];
};

/// Reads the fields that matter out of the text of /proc/PID/stat: `pid (name) state ppid ...`; the
/// name may hold spaces and parentheses, so the last ')' is what counts.
inline bool parse_stat(const char* text, long size, ProcessEntry& entry) noexcept {
  long at = size;
  while (at > 0 && text[at - 1] != ')') --at;
  if (at == 0 || at + 2 >= size) return false;
  entry.state = text[at + 1];
  uint64_t fields[20] = {};
  int count = 0;
  at += 2;
  while (at < size && count < 19) {
    while (at < size && (text[at] == ' ' || text[at] == '-')) ++at;
    uint64_t value = 0;
    while (at < size && text[at] >= '0' && text[at] <= '9') {
      value = value * 10 + static_cast<uint64_t>(text[at++] - '0');
    }
    fields[count++] = value;
  }
  if (count < 19) return false;
  entry.parent = static_cast<int>(fields[0]);
  entry.group = static_cast<int>(fields[1]);
  entry.session = static_cast<int>(fields[2]);
  entry.start = fields[18];
  return true;
}

inline bool read_stat(int pid, ProcessEntry& entry) noexcept {
  char text[1024];
  const int fd = open_raw(ProcPath(pid, "stat").text(), O_RDONLY);
  if (fd < 0) return false;
  const long got = raw_syscall(SYS_read, fd, as_word(text), sizeof text);
  close_raw(fd);
  entry = ProcessEntry{};
  entry.pid = pid;
  return got > 0 && parse_stat(text, got, entry);
}

/// Whether /proc is there and numbers processes as we do: in a new pid namespace it may still be
/// that of the old one, where our numbers are other people's.
/// Source: proc(5), /proc/self
inline bool proc_is_ours() noexcept {
  char text[16];
  const long size =
      raw_syscall(SYS_readlinkat, AT_FDCWD, as_word("/proc/self"), as_word(text), sizeof text);
  long pid = 0;
  for (long i = 0; i < size; ++i) pid = pid * 10 + (text[i] - '0');
  return pid == raw_syscall(SYS_getpid);
}

/// Sends through a pidfd, after making sure that the pid still names the process that was seen.
inline bool signal_entry(const ProcessEntry& entry, int signal) noexcept {
  const long fd = raw_syscall(SYS_pidfd_open, entry.pid, 0);
  if (raw_failed(fd)) return false;
  ProcessEntry now;
  bool sent = false;
  if (read_stat(entry.pid, now) && now.start == entry.start) {
    sent = !raw_failed(raw_syscall(SYS_pidfd_send_signal, fd, signal, 0, 0));
  }
  close_raw(static_cast<int>(fd));
  return sent;
}

/// A growing array of plain values, straight from the kernel.
template <class T>
class MappedArray {
 public:
  MappedArray() noexcept = default;
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() {
    if (values_ != nullptr) raw_syscall(SYS_munmap, as_word(values_), bytes(capacity_));
  }

  /// False: no memory.
  bool push_back(const T& value) noexcept {
    if (size_ == capacity_ && !grow()) return false;
    values_[size_++] = value;
    return true;
  }
  void truncate(size_t size) noexcept { size_ = size; }

  [[nodiscard]] T* begin() const noexcept { return values_; }
  [[nodiscard]] T* end() const noexcept { return values_ + size_; }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] T& operator[](size_t at) const noexcept { return values_[at]; }

 private:
  static long bytes(size_t count) noexcept { return static_cast<long>(count * sizeof(T)); }

  bool grow() noexcept {
    const size_t wanted = capacity_ == 0 ? 65536 / sizeof(T) : capacity_ * 2;
    const long at = values_ == nullptr
                        ? raw_syscall(SYS_mmap, 0, bytes(wanted), PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                        : raw_syscall(SYS_mremap, as_word(values_), bytes(capacity_), bytes(wanted),
                                      MREMAP_MAYMOVE);
    if (raw_failed(at)) return false;
    values_ = reinterpret_cast<T*>(at);
    capacity_ = wanted;
    return true;
  }

  T* values_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

class ProcessTable {
 public:
  /// Looks at every process. False: no /proc of ours, or no memory.
  bool scan() noexcept {
    entries_.truncate(0);
    if (!proc_is_ours()) return false;
    const int proc = open_raw("/proc", O_RDONLY | O_DIRECTORY);
    if (proc < 0) return false;
    alignas(8) char block[16384];
    long got;
    bool complete = true;
    while ((got = raw_syscall(SYS_getdents64, proc, as_word(block), sizeof block)) > 0) {
      for (long at = 0; at < got && complete;) {
        const char* record = block + at;
        at += *reinterpret_cast<const uint16_t*>(record + 16);
        complete = add(record + 19);
      }
    }
    close_raw(proc);
    return complete && got == 0;
  }

  /// Marks as members all entries for which `is_root(entry)` holds, and their descendants.
  /// `self` and its other descendants stay out of it.
  template <class IsRoot>
  size_t mark_family(IsRoot&& is_root, int self) noexcept {
    size_t members = 0;
    for (auto& entry : *this) {
      entry.member = entry.pid != self && entry.pid > 1 && is_root(entry);
      members += entry.member ? 1 : 0;
    }
    for (bool grew = members > 0; grew;) {
      grew = false;
      for (auto& entry : *this) {
        if (entry.member || entry.pid == self) continue;
        const ProcessEntry* parent = find(entry.parent);
        if (parent == nullptr || !parent->member) continue;
        entry.member = grew = true;
        ++members;
      }
    }
    return members;
  }

  [[nodiscard]] ProcessEntry* begin() noexcept { return entries_.begin(); }
  [[nodiscard]] ProcessEntry* end() noexcept { return entries_.end(); }
  [[nodiscard]] size_t size() const noexcept { return entries_.size(); }

  /// By binary search: the kernel lists processes in the order of their pids.
  [[nodiscard]] ProcessEntry* find(int pid) noexcept {
    size_t low = 0;
    size_t high = entries_.size();
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (entries_[middle].pid < pid) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < entries_.size() && entries_[low].pid == pid ? &entries_[low] : nullptr;
  }

 private:
  bool add(const char* name) noexcept {
    int pid = 0;
    for (const char* c = name; *c != '\0'; ++c) {
      if (*c < '0' || *c > '9') return true;
      pid = pid * 10 + (*c - '0');
    }
    ProcessEntry entry;
    return !read_stat(pid, entry) || entries_.push_back(entry);
  }

  MappedArray<ProcessEntry> entries_;
};

/// Kills a family that may be forking while we look: first every member is stopped, again and again
/// until a look finds no new one (a stopped process cannot fork), then all of them are killed.
/// Gives the number killed, and calls `on_kill(entry)` for each of them. One that was killed before
/// is met again, and counted again, for as long as it has not got round to dying.
template <class IsRoot, class OnKill>
size_t freeze_and_kill(IsRoot&& is_root, int self, OnKill&& on_kill) {
  ProcessTable tables[2];
  int current = 0;
  constexpr int kMostRounds = 64;  // a fork bomb that outruns this is killed by the rounds below
  for (int round = 0; round < kMostRounds; ++round, current ^= 1) {
    ProcessTable& now = tables[current];
    ProcessTable& before = tables[current ^ 1];
    if (!now.scan()) {
      current ^= 1;  // what was stopped so far must not stay that way
      break;
    }
    now.mark_family(is_root, self);
    bool found_new = false;
    for (auto& entry : now) {
      if (!entry.member || entry.state == 'Z') continue;
      const ProcessEntry* seen = round == 0 ? nullptr : before.find(entry.pid);
      if (seen != nullptr && seen->start == entry.start && seen->signaled) {
        entry.signaled = true;
        continue;
      }
      entry.signaled = true;
      found_new = signal_entry(entry, SIGSTOP) || found_new;
    }
    if (!found_new) break;
  }
  // After a full run of rounds `current` points at the older table; either holds nearly all.
  size_t killed = 0;
  for (auto& entry : tables[current]) {
    if (!entry.member || entry.state == 'Z' || !signal_entry(entry, SIGKILL)) continue;
    on_kill(entry);
    ++killed;
  }
  return killed;
}

template <class IsRoot>
size_t freeze_and_kill(IsRoot&& is_root, int self) noexcept {
  return freeze_and_kill(is_root, self, [](const ProcessEntry&) {});
}

/// Whether the environment of `pid` holds the string `mark` (its length without the final NUL).
inline bool environment_holds(int pid, const char* mark, size_t length) noexcept {
  if (length == 0) return false;
  const int fd = open_raw(ProcPath(pid, "environ").text(), O_RDONLY);
  if (fd < 0) return false;
  char block[4096];
  size_t matched = 0;  // characters of the mark matched by the variable being read
  bool possible = true;
  bool found = false;
  long got;
  while (!found && (got = raw_syscall(SYS_read, fd, as_word(block), sizeof block)) > 0) {
    for (long i = 0; i < got && !found; ++i) {
      if (block[i] == '\0') {
        found = possible && matched == length;
        matched = 0;
        possible = true;
      } else if (possible) {
        possible = matched < length && block[i] == mark[matched];
        ++matched;
      }
    }
  }
  close_raw(fd);
  return found || (possible && matched == length);
}

}  // namespace tine::os
