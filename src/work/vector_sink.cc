// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>

#include "os/young_child.h"
#include "tine/detail/byte_sink.h"

namespace tine::detail {

TINE_YOUNG_CHILD bool ByteSink::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return true;
  std::byte* const to = extend(bytes.size());
  if (to != nullptr) std::memcpy(to, bytes.data(), bytes.size());
  return to != nullptr;
}

void VectorSink::lengthen(std::size_t size) {
  const std::size_t used = written();
  bytes_->resize(used + size);
  window(bytes_->data() + used, bytes_->data() + bytes_->size());
}

bool VectorSink::grow(std::size_t size) {
  constexpr std::size_t kFirst = 256;
  lengthen(std::max({size, written(), kFirst}));
  return true;
}

}  // namespace tine::detail
