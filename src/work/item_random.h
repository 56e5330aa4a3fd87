// SPDX-License-Identifier: MIT
#pragma once

/// How whoever runs items tells rng() which one it is in, at no cost per item.

#include <atomic>
#include <cstdint>

#include "tine/random.h"

namespace tine::work {

/// From now on rng() of this thread gives the numbers that belong to (`seed`, `*item`), from the
/// first one on whenever `*item` has another value than at the last draw. Once in a worker is
/// enough, after its fork; and again before the *same* item is run again in the same worker, or its
/// numbers would go on where they stopped. Null: back to the stream from before, which goes on.
void use_item_stream(const std::atomic<std::uint64_t>* item, std::uint64_t seed) noexcept;

/// Use of an item stream for a while, in a process that has a stream of its own or is within
/// another item: that one goes on afterwards.
class ItemStreamScope {
 public:
  ItemStreamScope(const std::atomic<std::uint64_t>* item, std::uint64_t seed) noexcept;
  ~ItemStreamScope();
  ItemStreamScope(const ItemStreamScope&) = delete;
  ItemStreamScope& operator=(const ItemStreamScope&) = delete;

 private:
  tine::detail::RngState before_;
};

}  // namespace tine::work
