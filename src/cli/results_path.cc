// SPDX-License-Identifier: MIT
#include "cli/results_path.h"

#include <algorithm>
#include <tuple>

namespace tine::cli {
namespace {

// No file name may be longer.
constexpr std::size_t kNameMax = 255;

// A value as the name of a directory. What / becomes can be told from any other value.
std::string as_name(std::string_view value) {
  std::string name;
  for (char c : value) {
    switch (c) {
      case '/': name += "\\_"; break;
      case '\\': name += "\\\\"; break;
      case '\t': name += "\\t"; break;
      default: name += c;
    }
  }
  if (name.size() > kNameMax) name.resize(kNameMax);
  return name;
}

}  // namespace

bool is_results_table(std::string_view name) {
  return name.ends_with(".csv") || name.ends_with(".tsv") || name.ends_with(".json");
}

std::string results_directory(std::string_view root, std::span<const std::string> args,
                              const std::vector<std::string>& columns, std::size_t width) {
  // Label, place and name: sorted by label the values of one label stay in order.
  std::vector<std::tuple<std::string, std::size_t, std::string>> levels;
  for (std::size_t i = 0; i < args.size(); ++i) {
    std::size_t column = width == 0 ? i : i % width;
    bool named = column < columns.size() && !columns[column].empty();
    levels.emplace_back(named ? columns[column] : std::to_string(column + 1), i, as_name(args[i]));
  }
  if (args.empty()) levels.emplace_back("1", 0, "\\0noarg");
  if (!columns.empty()) std::ranges::sort(levels);
  std::string path(root.substr(0, root.find_last_not_of('/') + 1));
  // A root of / leaves nothing, and the first level brings its own slash.
  for (const auto& [label, place, name] : levels) {
    path.append(1, '/').append(label).append(1, '/').append(name);
  }
  return path.append(1, '/');
}

}  // namespace tine::cli
