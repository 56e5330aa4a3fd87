// SPDX-License-Identifier: MIT
#pragma once

/// For a child whose time is up, or that nobody wants any more, while its function comes back all
/// the same: whoever ends it asks it first where it is, with a signal that cuts sleeps short. What
/// it would say now is not what its function would have given.

#include <unistd.h>

namespace tine::work {

/// Its end is on the way: TERM, and KILL after the grace.
[[noreturn]] inline void wait_to_be_ended() noexcept {
  for (;;) ::pause();
}

}  // namespace tine::work
