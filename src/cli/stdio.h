// SPDX-License-Identifier: MIT
#pragma once

namespace tine::cli {

/// Opens what of 0, 1 and 2 is closed: such a number would become that of the next file we open.
/// Gives whether stdout was closed.
bool fill_stdio();

}  // namespace tine::cli
