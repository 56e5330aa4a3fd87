// SPDX-License-Identifier: MIT
#include "os/own_fds.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tine::os {
namespace {

constexpr std::size_t kBits = 64;
constexpr std::size_t kMost = 1 << 20;  // fs.nr_open as most systems have it

// Untouched pages of it cost nothing.
std::atomic<std::uint64_t> noted[kMost / kBits];
std::atomic<std::size_t> words_used{0};

std::uint64_t bit_of(std::size_t fd) noexcept { return std::uint64_t{1} << (fd % kBits); }

}  // namespace

void note_own(int fd) noexcept {
  const auto at = static_cast<std::size_t>(fd);
  if (fd < 0 || at >= kMost) return;
  noted[at / kBits].fetch_or(bit_of(at), std::memory_order_relaxed);
  std::size_t used = words_used.load(std::memory_order_relaxed);
  while (used <= at / kBits && !words_used.compare_exchange_weak(used, at / kBits + 1)) {
  }
}

void strike_own(int fd) noexcept {
  const auto at = static_cast<std::size_t>(fd);
  if (at / kBits >= words_used.load(std::memory_order_relaxed)) return;
  auto& word = noted[at / kBits];
  if ((word.load(std::memory_order_relaxed) & bit_of(at)) == 0) return;
  word.fetch_and(~bit_of(at), std::memory_order_relaxed);
}

void make_own_end(int fd) noexcept {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  note_own(fd);
}

void close_own_fds() noexcept {
  for (std::size_t i = 0; i < words_used.load(std::memory_order_relaxed); ++i) {
    if (noted[i].load(std::memory_order_relaxed) == 0) continue;  // a write would copy the page
    for (std::uint64_t word = noted[i].exchange(0); word != 0; word &= word - 1) {
      ::close(static_cast<int>(i * kBits) + std::countr_zero(word));
    }
  }
}

}  // namespace tine::os
