// SPDX-License-Identifier: MIT
#pragma once

/// A mutex for threads that never hangs a forked child.
///
///     tine::ForkMutex mutex;
///     Cache cache;
///
///     std::lock_guard lock(mutex);           // in any thread, before and after forks
///     if (mutex.was_abandoned()) {           // a fork came while somebody was changing the cache
///       cache.clear();
///       mutex.mark_consistent();
///     }
///
/// A fork copies a locked std::mutex, but not the thread that would unlock it: the child that locks
/// it waits for ever. This one knows in which process it was locked. In a child it is free, whoever
/// held it at the fork, and lock() waits for nobody but threads of that child.
///
/// The data is another matter: the holder may have been in the middle of a change, and the child
/// has the half that was done. was_abandoned() says that this may be so; what to do about it only
/// you know: make the data anew, or leave the child alone with it.
///
/// The thread that forks does not hold it in the child either. If it held it to keep the others out
/// during the fork, unlock() in the child says that all is well: nothing was abandoned. The
/// destructor of its std::lock_guard does the same, and disturbs nobody who has locked it since.
///
/// Threads: that is what it is for. Not recursive. Processes: between them nothing is locked; the
/// copies of a parent and a child have nothing to do with each other, and a Shared<ForkMutex> does
/// not compile.
/// Fork: however it was made (fork, _Fork, clone). Signals: not from a handler.
/// Example: examples/fork_hazards.cc
/// Source: madvise(2), MADV_WIPEONFORK; pthread_atfork(3) on what a fork does to locks

#include <atomic>
#include <cstdint>

namespace tine {

class ForkMutex {
 public:
  constexpr ForkMutex() noexcept = default;
  ForkMutex(const ForkMutex&) = delete;
  ForkMutex& operator=(const ForkMutex&) = delete;
  ~ForkMutex() = default;

  /// Requires: this thread does not hold it (checked in debug builds).
  /// Blocks:   while another thread of this process holds it.
  void lock() noexcept;
  [[nodiscard]] bool try_lock() noexcept;
  /// Where this thread does not hold it, nothing happens.
  void unlock() noexcept;

  /// In the holder: whether it was locked at a fork from which this process comes, by a thread that
  /// has not unlocked it here, so that what it protects may be half changed. True for every holder
  /// until one of them says mark_consistent().
  [[nodiscard]] bool was_abandoned() const noexcept { return abandoned_; }
  /// By the holder: what it protects is whole again.
  void mark_consistent() noexcept { abandoned_ = false; }

 private:
  void taken_from(std::uint64_t before) noexcept;
  void lock_after(std::uint64_t seen, std::uint64_t mine) noexcept;

  /// 0: free. Else who holds it, where, and whether somebody waits: see fork_mutex.cc.
  std::atomic<std::uint64_t> word_{0};
  bool abandoned_ = false;
};

}  // namespace tine
