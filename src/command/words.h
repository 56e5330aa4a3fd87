// SPDX-License-Identifier: MIT
#pragma once

/// Command lines as text, for messages.

#include <span>
#include <string>
#include <string_view>

namespace tine::command {

/// The words as a shell would read them back; plain ones stay as they are.
std::string quoted(std::span<const std::string> words);

/// The last component, for messages: `gcc` of `/usr/bin/gcc`.
std::string_view base_name(std::string_view path) noexcept;

}  // namespace tine::command
