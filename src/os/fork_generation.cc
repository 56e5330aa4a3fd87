// SPDX-License-Identifier: MIT
#include "os/fork_generation.h"

#include <pthread.h>

#include "os/wiped_pages.h"

namespace tine::os {
namespace {

using Word = std::atomic<std::uint32_t>;

constinit Word unwiped{0};  ///< where the kernel refuses to wipe
/// The last number given out. Not wiped: in a child it is at least what any ancestor has used,
/// because a number is taken from here before it is used for anything.
constinit Word last{0};

constinit std::atomic<Word*> word_in_use{nullptr};

Word& make_word() noexcept {
  if (void* const page = map_wiped_pages(sizeof(Word))) return *static_cast<Word*>(page);
  ::pthread_atfork(nullptr, nullptr, [] { unwiped.store(0, std::memory_order_relaxed); });
  return unwiped;
}

/// The first one made is for all. Not a static variable of a function: a fork in the middle of its
/// initialisation would leave it locked in the child.
Word& first_made() noexcept {
  Word& made = make_word();
  Word* first = nullptr;
  if (word_in_use.compare_exchange_strong(first, &made, std::memory_order_acq_rel)) return made;
  if (&made != &unwiped) ::munmap(&made, sizeof(Word));
  return *first;
}

Word& word() noexcept {
  Word* const known = word_in_use.load(std::memory_order_acquire);
  return known != nullptr ? *known : first_made();
}

}  // namespace

const std::atomic<std::uint32_t>& fork_generation_word() noexcept { return word(); }

std::uint32_t fork_generation() noexcept {
  std::uint32_t known = word().load(std::memory_order_relaxed);
  if (known != 0) return known;
  // Threads of a young child may meet here: one number is taken by all, the others by nobody.
  const std::uint32_t next = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return word().compare_exchange_strong(known, next, std::memory_order_relaxed) ? next : known;
}

}  // namespace tine::os
