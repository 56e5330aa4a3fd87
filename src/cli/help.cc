// SPDX-License-Identifier: MIT
#include "cli/option_parser.h"
#include "cli/option_table.h"
#include "cli/options.h"

namespace tine::cli {
namespace {

void wrap(std::string& out, std::string_view text, std::size_t indent, std::size_t width) {
  std::size_t column = indent;
  bool first = true;
  for (auto word : split_names(text)) {
    if (!first && column + 1 + word.size() > width) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
      first = true;
    }
    if (!first) out += ' ';
    out += word;
    column += word.size() + (first ? 0 : 1);
    first = false;
  }
  out += '\n';
}

// The short spelling and the first long one.
std::string heading(const OptionEntry& entry) {
  std::string text;
  std::string_view shown_long;
  for (auto name : split_names(entry.names)) {
    if (name.size() == 1) {
      text += (text.empty() ? "" : ", ") + dashed(name);
    } else if (shown_long.empty()) {
      shown_long = name;
    }
  }
  if (!shown_long.empty()) text += (text.empty() ? "" : ", ") + dashed(shown_long);
  if (!entry.value_name.empty()) {
    bool optional = entry.argument != Argument::required;
    text +=
        optional ? " [" + std::string(entry.value_name) + "]" : " " + std::string(entry.value_name);
  }
  return text;
}

/// By their first long names.
std::string unsupported_names() {
  std::string names;
  for (const auto& option : unsupported_options()) {
    for (auto name : split_names(option.names)) {
      if (name.size() == 1) continue;
      if (!name.starts_with('_')) names += (names.empty() ? "" : " ") + dashed(name);
      break;
    }
  }
  return names;
}

constexpr std::string_view kUsage =
    R"(tine run: run a command for many values, several at a time.

Usage: tine run [options] [command] ::: values     values from the command line
       tine run [options] [command] :::: files     values from files, one per line
       ... | tine run [options] [command]          values from standard input

Each value takes the place of {} in the command, or is appended to it:
  tine run gzip -9 ::: *.log
  tine run convert {} {.}.png ::: *.jpg            {.} without extension
  tine run echo {1}-{2} ::: a b ::: 1 2 3          every combination
  tine run echo {1}={2} ::: a b :::+ 1 2           pair by pair
  find . -name '*.c' -print0 | tine run -0 -X wc -l
  tine run -j4 -k --tag 'sort {} | uniq -c' :::: list.txt

  {}  the value        {.}  without extension    {/}  without directory
  {//} its directory   {/.} both removed         {#}  number of the job
  {%} slot of the job  {2} {2.} {2/} ... of the second source or column; {-1} of the last
)";

}  // namespace

std::string help_text() {
  constexpr std::size_t kIndent = 30;
  std::string out(kUsage);
  for (const auto& group : option_groups()) {
    out += "\n" + std::string(group.title) + ":\n";
    for (const auto& entry : group.entries) {
      if (entry.help.empty()) continue;
      std::string line = "  " + heading(entry);
      if (line.size() + 2 > kIndent) {
        out += line + "\n" + std::string(kIndent, ' ');
      } else {
        out += line + std::string(kIndent - line.size(), ' ');
      }
      wrap(out, entry.help, kIndent, 96);
    }
  }
  out +=
      "\nOptions in $PARALLEL come before those of the command line.\n"
      "\nNot supported yet, of GNU parallel:\n  ";
  wrap(out, unsupported_names(), 2, 96);
  return out;
}

}  // namespace tine::cli
