// SPDX-License-Identifier: MIT
/// Reads the options at the front of a command line with getopt_long, whose tables are made from
/// the option table.
///
/// Threads: getopt is global; one thread at a time.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"

namespace tine::cli {

struct ParsedOptions {
  Options options{};
  std::vector<std::string> rest{};  ///< what follows the options
};

/// Options end at the first word that is none, or after `--`.
///
/// Errors: an unknown, ambiguous or unsupported option, a missing or bad value.
std::expected<ParsedOptions, std::string> parse_options(std::vector<std::string> words);

/// The spellings in an entry of the option table.
std::vector<std::string_view> split_names(std::string_view names);
/// -x for one letter, --name for more.
std::string dashed(std::string_view name);

}  // namespace tine::cli
