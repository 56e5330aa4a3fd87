// SPDX-License-Identifier: MIT
#pragma once

namespace tine::os {

/// A descriptor of /dev/null, for reading, which stays open: children whose stdin is nothing get a
/// copy, as to open one in each of them takes 6 us. -1: there is none for now.
///
/// In a child of ours it is closed, and opened anew when it is needed; so it is when somebody else
/// has closed it, with all numbers above 2, say. Owner: nobody. Threads: safe.
[[nodiscard]] int null_device() noexcept;

/// Opens it, unless this process may have few descriptors: then it waits until it is needed.
void open_null_device() noexcept;

}  // namespace tine::os
