// SPDX-License-Identifier: MIT
/// The values that options take: numbers with units, durations, halt rules and the like.
///
/// Errors: each function answers a sentence with the value and what is accepted.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "cli/options.h"

namespace tine::cli {

template <class T>
using Value = std::expected<T, std::string>;

/// 10, 2k (2000), 2K (2048), up to P.
Value<std::uint64_t> parse_count(std::string_view text);
Value<int> parse_integer(std::string_view text);
/// Seconds, or a sum such as 1d3.5h16.6m4s.
Value<std::chrono::duration<double>> parse_duration(std::string_view text);
Value<Timeout> parse_timeout(std::string_view text);
/// N, +N, -N, N%, 0, or the name of a file that holds one of these.
Value<JobCount> parse_jobs(std::string_view text);
Value<Halt> parse_halt(std::string_view text);
Value<Trim> parse_trim(std::string_view text);
/// SIGNAL,milliseconds,SIGNAL,milliseconds...
Value<StopSequence> parse_term_sequence(std::string_view text);
/// C escapes: \n \t \\ \0 \012 \x0a.
Value<std::string> parse_delimiter(std::string_view text);
/// The escapes alone, anything else as it stands.
std::string unescape(std::string_view text);

}  // namespace tine::cli
