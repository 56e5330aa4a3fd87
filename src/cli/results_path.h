// SPDX-License-Identifier: MIT
/// The directory that --results gives to a job: one level for each value and its column.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tine::cli {

/// .csv, .tsv and .json: one file for all jobs.
bool is_results_table(std::string_view name);

/// ROOT/1/a/2/b/ for the values a and b, ROOT/x/a/y/b/ with the header names x and y.
/// `width` is how many values one record has.
std::string results_directory(std::string_view root, std::span<const std::string> args,
                              const std::vector<std::string>& columns, std::size_t width);

}  // namespace tine::cli
