// SPDX-License-Identifier: MIT
#include "os/fork_generation.h"

#include <pthread.h>

#include "os/wiped_pages.h"
#include "os/young_child.h"

namespace tine::os {
namespace {

constinit WipedWord<std::uint32_t> generation_word;
/// The last number given out. Not wiped: in a child it is at least what any ancestor has used,
/// because a number is taken from here before it is used for anything.
constinit std::atomic<std::uint32_t> last_generation{0};

/// In the kernel's stead, once.
void wipe_in_children() noexcept {
  static constinit std::atomic<bool> done{false};
  if (done.exchange(true, std::memory_order_relaxed)) return;
  ::pthread_atfork(nullptr, nullptr,
                   [] { (*generation_word).store(0, std::memory_order_relaxed); });
}

TINE_YOUNG_CHILD std::atomic<std::uint32_t>& current() noexcept {
  auto& word = *generation_word;
  if (generation_word.is_ordinary(word)) wipe_in_children();
  return word;
}

}  // namespace

TINE_YOUNG_CHILD const std::atomic<std::uint32_t>& fork_generation_word() noexcept {
  auto& word = current();
  // As a write, though nothing changes: in a young child to read the page before would be one more
  // page fault.
  std::uint32_t none = 0;
  word.compare_exchange_strong(none, 0, std::memory_order_relaxed);
  return word;
}

TINE_YOUNG_CHILD std::uint32_t fork_generation() noexcept {
  auto& word = current();
  std::uint32_t known = word.load(std::memory_order_relaxed);
  if (known != 0) return known;
  // Threads of a young child may meet here: one number is taken by all, the others by nobody.
  const std::uint32_t next = last_generation.fetch_add(1, std::memory_order_relaxed) + 1;
  return word.compare_exchange_strong(known, next, std::memory_order_relaxed) ? next : known;
}

}  // namespace tine::os
