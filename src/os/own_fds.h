// SPDX-License-Identifier: MIT
#pragma once

/// Which descriptors are this library's own affair, such as its ends of pipes and its event loops:
/// a forked child that runs a function closes them, or a peer would wait in vain for an end of
/// file. Threads: safe. After a fork: the child has its copy of the list.

namespace tine::os {

/// Notes `fd`; Fd::reset() strikes it off, what closes it otherwise has to. Above 2^20 nothing is
/// noted.
void note_own(int fd) noexcept;
void strike_own(int fd) noexcept;

/// Our end of a pipe to a child: not blocking, and noted.
void make_own_end(int fd) noexcept;

/// In a forked child: closes all that are noted.
void close_own_fds() noexcept;

}  // namespace tine::os
