// SPDX-License-Identifier: MIT
#pragma once

/// The signals that `tine run` acts on, blocked from the start and read as values.

#include <signal.h>

namespace tine::cli {

/// Blocks them and SIGCHLD for this process; gives the set. Under nohup(1) the hangup stays
/// ignored: a signalfd would see it all the same, because a blocked signal is queued though it is
/// ignored.
sigset_t block_signals();

/// Ends this process by `signal`, without a core: who waits for it, a shell loop for one, sees what
/// has ended it.
[[noreturn]] void die_by(int signal);

}  // namespace tine::cli
