// SPDX-License-Identifier: MIT
/// The one table of options: what the parser knows, what --help prints, and what is known from GNU
/// parallel but not supported yet.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "cli/options.h"

namespace tine::cli {

enum class Argument { none, required, optional, optional_number };

struct OptionEntry {
  /// All spellings: "jobs max-procs j P". One letter is a short option, more a long one.
  std::string_view names;
  Argument argument = Argument::none;
  std::string_view value_name{};  ///< shown by --help
  std::string_view help{};        ///< empty: not shown
  std::expected<void, std::string> (*apply)(Options& options, std::string_view value) = nullptr;
};

struct OptionGroup {
  std::string_view title;
  std::span<const OptionEntry> entries;
};

std::span<const OptionGroup> option_groups();

/// Known from GNU parallel and refused with "not supported yet".
struct UnsupportedOption {
  std::string_view names;
  Argument argument = Argument::none;
};
std::span<const UnsupportedOption> unsupported_options();

}  // namespace tine::cli
