// SPDX-License-Identifier: MIT
#ifndef TINE_WITH_LIBDW

#include "work/debug_info.h"

#include <dlfcn.h>
#include <link.h>

namespace tine::work {

DebugInfo::DebugInfo() = default;
DebugInfo::~DebugInfo() = default;

void DebugInfo::add_frames(std::uintptr_t address, std::vector<Frame>& frames) {
  Frame frame{.address = address};
  Dl_info info{};
  void* map = nullptr;
  if (::dladdr1(reinterpret_cast<void*>(address), &info, &map, RTLD_DL_LINKMAP) != 0) {
    if (info.dli_fname != nullptr) frame.module = info.dli_fname;
    if (info.dli_sname != nullptr) frame.symbol = info.dli_sname;
    if (map != nullptr) frame.offset = address - static_cast<const link_map*>(map)->l_addr;
  }
  frames.push_back(std::move(frame));
}

}  // namespace tine::work

#endif
