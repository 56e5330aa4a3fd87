// SPDX-License-Identifier: MIT
#pragma once

/// What this process calls the functions of its host, when it is no copy of it: tables that are
/// filled while it starts, and a cache. In a copy all have the same address.
/// Threads: safe once it has started.

#include <expected>
#include <functional>

#include "tine/detail/portable.h"
#include "tine/error.h"
#include "work/modules.h"

namespace tine::work {

struct CodeOfHost;

/// From now on `hosts.address` is known here. Errors: not_found.
std::expected<void, Error> learn_code(const CodeOfHost& hosts);

/// Who is asked for other addresses: where the host has them.
using CodeFinder = std::function<std::expected<CodePlace, Error>(Code hosts)>;
void ask_for_code(CodeFinder finder);

/// In a copy of this process: what its parent has is where it is here, whoever the parent's host.
void forget_host_code() noexcept;

}  // namespace tine::work
