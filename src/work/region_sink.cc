// SPDX-License-Identifier: MIT
#include "work/region_sink.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "os/young_child.h"

namespace tine::work {

TINE_YOUNG_CHILD RegionSink::RegionSink(os::SharedPart region, std::size_t from, std::size_t ready,
                                        std::size_t largest_step) noexcept
    : region_(region),
      ready_(std::max(from, std::min(ready, region.size()))),
      largest_step_(largest_step) {
  rewind(from);
}

TINE_YOUNG_CHILD void RegionSink::rewind(std::size_t position) noexcept {
  window(region_.data() + position, region_.data() + ready_);
}

/// Makes memory ready up to there; where that is much, in whole blocks.
bool RegionSink::provide(std::size_t until) {
  const std::size_t used = position();
  std::size_t from = ready_;
  if (until - from >= os::kSharedBlock) {
    const auto begin = reinterpret_cast<std::uintptr_t>(region_.data());
    from -= std::min(from, (begin + from) % os::kSharedBlock);
    until += (os::kSharedBlock - (begin + until) % os::kSharedBlock) % os::kSharedBlock;
  }
  until = std::min(region_.size(), until);
  if (const int refused = region_.populate(from, until - from); refused != 0) {
    set_errno(refused);
    return false;
  }
  ready_ = until;
  rewind(used);
  return true;
}

bool RegionSink::grow(std::size_t size) {
  const std::size_t used = position();
  if (size > region_.size() - used) {
    set_errno(ENOMEM);
    return false;
  }
  return provide(std::max(used + size, ready_ + std::min(ready_, largest_step_)));
}

/// What is large is copied a block at a time, while its fresh memory is still in the cache.
TINE_YOUNG_CHILD bool RegionSink::append(std::span<const std::byte> bytes) {
  if (bytes.size() > region_.size() - position()) {
    set_errno(ENOMEM);
    return false;
  }
  const std::size_t step = std::min(bytes.size(), os::kSharedBlock);
  while (!bytes.empty()) {
    if (position() == ready_ && !provide(ready_ + step)) return false;
    const auto piece = bytes.first(std::min(bytes.size(), ready_ - position()));
    if (!ByteSink::append(piece)) return false;
    bytes = bytes.subspan(piece.size());
  }
  return true;
}

}  // namespace tine::work
