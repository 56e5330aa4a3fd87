// SPDX-License-Identifier: MIT
#pragma once

/// How writing and reading items end early.

#include <optional>
#include <string>

#include "tine/detail/codec_wire.h"

namespace tine::work {

/// Thrown by WireWriter::fail and WireReader::fail, which keep the Error.
struct WireFailure {};

/// Within a handler: what an exception that is not ours says; nothing for a WireFailure. A
/// bad_alloc goes on, and so does the end of a thread.
std::optional<std::string> foreign_exception();

/// `at .2[3]`, or nothing for the value itself.
std::string place(const detail::WirePath& path);

}  // namespace tine::work
