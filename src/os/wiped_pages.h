// SPDX-License-Identifier: MIT
#pragma once

/// Memory of this process that every forked child sees as zeros.
/// Source: madvise(2), MADV_WIPEONFORK, Linux 4.14

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace tine::os {

/// Null, and errno, where the kernel refuses; some sandboxes do.
inline void* map_wiped_pages(std::size_t size) noexcept {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  if (::madvise(at, size, MADV_WIPEONFORK) == 0) return at;
  const int refused = errno;
  ::munmap(at, size);
  errno = refused;
  return nullptr;
}

/// One word that every forked child sees as 0, made at its first use.
/// Threads: any; a fork in the middle of anything leaves it usable in the child, which the static
/// variable of a function is not. Where the kernel refuses to wipe, the word is an ordinary one.
template <class T>
class WipedWord {
 public:
  using Word = std::atomic<T>;

  Word& operator*() noexcept {
    Word* const known = in_use_.load(std::memory_order_acquire);
    return known != nullptr ? *known : first_made();
  }
  /// Whether `word`, which is *this, is not wiped.
  [[nodiscard]] bool is_ordinary(const Word& word) const noexcept { return &word == &ordinary_; }

 private:
  /// The first one made is for all.
  Word& first_made() noexcept {
    void* const page = map_wiped_pages(sizeof(Word));
    Word* const made = page != nullptr ? static_cast<Word*>(page) : &ordinary_;
    Word* first = nullptr;
    if (in_use_.compare_exchange_strong(first, made, std::memory_order_acq_rel)) return *made;
    if (made != &ordinary_) ::munmap(made, sizeof(Word));
    return *first;
  }

  Word ordinary_{0};
  std::atomic<Word*> in_use_{nullptr};
};

}  // namespace tine::os
