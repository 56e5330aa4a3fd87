// SPDX-License-Identifier: MIT
#include <algorithm>

#include "tine/detail/byte_sink.h"

namespace tine::detail {

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
