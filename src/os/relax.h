// SPDX-License-Identifier: MIT
#pragma once

namespace tine::os {

/// Between two looks at a word that another CPU is about to change.
inline void relax() noexcept {
#if defined(__x86_64__)
  asm volatile("pause" ::: "memory");
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace tine::os
