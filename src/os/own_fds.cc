// SPDX-License-Identifier: MIT
#include "os/own_fds.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "os/raw_fd.h"
#include "os/young_child.h"

namespace tine::os {
namespace {

constexpr std::size_t kBits = 64;
constexpr std::size_t kMost = 1 << 20;  // fs.nr_open as most systems have it

using Bits = std::atomic<std::uint64_t>;

// The many are apart from the few: 128 KiB among the library's data would spread what stands beside
// them over two pages, and a forked child copies each page that it writes to.
constexpr std::size_t kFew = 1024;
Bits few[kFew / kBits];
std::atomic<Bits*> many{nullptr};
std::atomic<std::size_t> words_used{0};

/// Requires: some descriptor there has been noted, or word < kFew / kBits.
Bits& noted(std::size_t word) noexcept {
  return word < kFew / kBits ? few[word] : many.load(std::memory_order_acquire)[word];
}

/// Untouched pages cost nothing.
bool make_room(std::size_t word) noexcept {
  if (word < kFew / kBits || many.load(std::memory_order_acquire) != nullptr) return true;
  constexpr std::size_t kSize = kMost / kBits * sizeof(Bits);
  void* const made =
      ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) return false;
  Bits* nobodys = nullptr;
  if (!many.compare_exchange_strong(nobodys, static_cast<Bits*>(made))) ::munmap(made, kSize);
  return true;
}

std::uint64_t bit_of(std::size_t fd) noexcept { return std::uint64_t{1} << (fd % kBits); }

}  // namespace

void note_own(int fd) noexcept {
  const auto at = static_cast<std::size_t>(fd);
  if (fd < 0 || at >= kMost || !make_room(at / kBits)) return;
  noted(at / kBits).fetch_or(bit_of(at), std::memory_order_relaxed);
  std::size_t used = words_used.load(std::memory_order_relaxed);
  while (used <= at / kBits && !words_used.compare_exchange_weak(used, at / kBits + 1)) {
  }
}

TINE_YOUNG_CHILD void strike_own(int fd) noexcept {
  const auto at = static_cast<std::size_t>(fd);
  if (fd < 0 || at / kBits >= words_used.load(std::memory_order_relaxed)) return;
  auto& word = noted(at / kBits);
  if ((word.load(std::memory_order_relaxed) & bit_of(at)) == 0) return;
  word.fetch_and(~bit_of(at), std::memory_order_relaxed);
}

void make_own_end(int fd) noexcept {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  note_own(fd);
}

TINE_YOUNG_CHILD void close_own_fds() noexcept {
  for (std::size_t i = 0; i < words_used.load(std::memory_order_relaxed); ++i) {
    if (noted(i).load(std::memory_order_relaxed) == 0) continue;  // a write would copy the page
    for (std::uint64_t word = noted(i).exchange(0); word != 0; word &= word - 1) {
      close_raw(static_cast<int>(i * kBits) + std::countr_zero(word));
    }
  }
}

}  // namespace tine::os
