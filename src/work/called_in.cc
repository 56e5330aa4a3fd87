// SPDX-License-Identifier: MIT
#include "tine/detail/called_in.h"

#include <unistd.h>

#include "os/fork_generation.h"
#include "os/young_child.h"

namespace tine::detail {

TINE_YOUNG_CHILD CalledIn::CalledIn() noexcept
    : word_(&os::fork_generation_word()), number_(os::fork_generation()) {}

void CalledIn::end_copy() noexcept { ::_exit(0); }

}  // namespace tine::detail
