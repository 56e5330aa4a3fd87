// SPDX-License-Identifier: MIT
#include "work/pool_chunks.h"

#include <sys/mman.h>

#include <algorithm>

#include "os/pages.h"

namespace tine::work {

namespace {

/// In the word of a chunk, beside its owner.
constexpr std::uint32_t kHasPages = std::uint32_t{1} << 31;

}  // namespace

bool ChunkArea::claim(std::size_t first, std::size_t count, std::uint32_t owner,
                      std::size_t& taken) noexcept {
  for (taken = 0; taken < count; ++taken) {
    auto& word = owners_[first + taken];
    std::uint32_t seen = word.load(std::memory_order_relaxed);
    if ((seen & ~kHasPages) != 0) return false;
    if (!word.compare_exchange_strong(seen, (seen & kHasPages) | owner)) return false;
  }
  return true;
}

void ChunkArea::unclaim(std::size_t first, std::size_t count) noexcept {
  for (std::size_t i = first; i < first + count; ++i) {
    owners_[i].fetch_and(kHasPages, std::memory_order_release);
  }
}

bool ChunkArea::populate(std::size_t first, std::size_t count) noexcept {
  const auto lacks = [&](std::size_t i) { return (owners_[i].load() & kHasPages) == 0; };
  std::size_t begin = first;
  while (begin < first + count && !lacks(begin)) ++begin;
  if (begin == first + count) return true;
  const std::size_t size = (first + count - begin) * chunk_;
  if (bytes_.populate(begin * chunk_, size) != 0) return false;
  // Small chunks share pages: only the run's own are marked.
  for (std::size_t i = begin; i < first + count; ++i) owners_[i].fetch_or(kHasPages);
  return true;
}

std::optional<std::uint32_t> ChunkArea::take(std::uint32_t slot, std::size_t size,
                                             std::size_t from) noexcept {
  const std::size_t wanted = count(size);
  for (std::size_t first = from, looked = 0; looked < owners_.size();) {
    if (first + wanted > owners_.size()) {
      looked += owners_.size() - std::min(first, owners_.size()) + 1;
      first = 0;
      if (wanted > owners_.size()) break;
      continue;
    }
    // First of all, so that whoever cleans up after us looks that far.
    auto used = used_->load();
    const auto end = static_cast<std::uint32_t>(first + wanted);
    while (used < end && !used_->compare_exchange_weak(used, end)) {
    }
    std::size_t taken = 0;
    if (claim(first, wanted, slot + 1, taken)) {
      if (populate(first, wanted)) return static_cast<std::uint32_t>(first);
      unclaim(first, wanted);
      return std::nullopt;
    }
    unclaim(first, taken);
    first += taken + 1;
    looked += taken + 1;
  }
  return std::nullopt;
}

void ChunkArea::free(std::uint32_t slot, std::uint32_t first, std::size_t size,
                     std::size_t kept) noexcept {
  const std::size_t chunks = count(size);
  if (first > owners_.size() || chunks > owners_.size() - first) return;
  const auto is_its = [&](const std::atomic<std::uint32_t>& owner) {
    return (owner.load(std::memory_order_relaxed) & ~kHasPages) == slot + 1;
  };
  const auto owners = owners_.subspan(first, chunks);
  if (!std::ranges::all_of(owners, is_its)) return;  // no honest worker says that
  // Small ones share their pages.
  const bool given_back =
      chunk_ % os::kPage == 0 && size > kept &&
      ::madvise(bytes_.data() + first * chunk_, chunks * chunk_, MADV_REMOVE) == 0;
  for (auto& owner : owners) owner.store(given_back ? 0 : kHasPages, std::memory_order_release);
}

void ChunkArea::free_all(std::uint32_t slot, std::uint32_t kept, std::size_t kept_size) noexcept {
  const std::size_t used = std::min<std::size_t>(used_->load(), owners_.size());
  const std::size_t kept_end = kept + count(kept_size);
  for (std::size_t i = 0; i < used; ++i) {
    if (kept_size > 0 && i >= kept && i < kept_end) continue;
    if ((owners_[i].load(std::memory_order_relaxed) & ~kHasPages) != slot + 1) continue;
    owners_[i].fetch_and(kHasPages);
  }
}

std::span<std::byte> ChunkArea::at(std::uint32_t first, std::size_t size) const noexcept {
  const std::size_t begin = std::size_t{first} * chunk_;
  if (begin > bytes_.size() || size > bytes_.size() - begin) return {};
  return {bytes_.data() + begin, size};
}

}  // namespace tine::work
