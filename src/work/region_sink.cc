// SPDX-License-Identifier: MIT
#include "work/region_sink.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace tine::work {

RegionSink::RegionSink(os::SharedPart region, std::size_t from, std::size_t ready,
                       std::size_t largest_step) noexcept
    : region_(region),
      ready_(std::max(from, std::min(ready, region.size()))),
      largest_step_(largest_step) {
  rewind(from);
}

void RegionSink::rewind(std::size_t position) noexcept {
  window(region_.data() + position, region_.data() + ready_);
}

bool RegionSink::grow(std::size_t size) {
  const std::size_t used = position();
  if (size > region_.size() - used) {
    set_errno(ENOMEM);
    return false;
  }
  const std::size_t least = used + size;
  std::size_t wanted = std::max(least, ready_ + std::min(ready_, largest_step_));
  if (wanted - ready_ >=
      os::kSharedBlock) {  // up to the end of a block, so that the next begins one
    const auto end = reinterpret_cast<std::uintptr_t>(region_.data() + wanted);
    wanted += (os::kSharedBlock - end % os::kSharedBlock) % os::kSharedBlock;
  }
  wanted = std::min(region_.size(), wanted);
  if (const int refused = region_.populate(ready_, wanted - ready_); refused != 0) {
    set_errno(refused);
    return false;
  }
  ready_ = wanted;
  rewind(used);
  return true;
}

}  // namespace tine::work
