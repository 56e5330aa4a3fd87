// SPDX-License-Identifier: MIT
#pragma once

/// What the files of this process's modules tell about an address, by libdw where the library is
/// built with it, else by the dynamic linker.
///
///     DebugInfo info;  // the modules that are loaded now
///     info.add_frames(address, frames);
///
/// Short-lived: while it exists it holds the files open, and much memory. Threads: one at a time.

#include <cstdint>
#include <vector>

#include "work/symbolise.h"

namespace tine::work {

class DebugInfo {
 public:
  DebugInfo();
  ~DebugInfo();
  DebugInfo(const DebugInfo&) = delete;
  DebugInfo& operator=(const DebugInfo&) = delete;

  /// Adds a frame for `address`, behind one for each function that was inlined there, with all that
  /// is known but `function` where `symbol` tells it.
  void add_frames(std::uintptr_t address, std::vector<Frame>& frames);

 private:
  [[maybe_unused]] void* session_ = nullptr;  // of libdw, where that is there
};

}  // namespace tine::work
