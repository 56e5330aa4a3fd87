// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <cstring>
#include <optional>
#include <utility>

#include "cli/option_parser.h"

namespace tine::cli {
namespace {

void add_source(CommandLine& command_line, InputSource source, bool first) {
  // The first ::: has nothing to be linked with, not even -a.
  source.linked = source.linked && !first;
  command_line.sources.push_back(std::move(source));
}

// Cuts what follows the options at ::: :::: :::+ ::::+ into template and sources.
void cut_sources(CommandLine& command_line) {
  const Options& options = command_line.options;
  for (const auto& path : options.arg_files) {
    command_line.sources.push_back({InputSource::Kind::file, {}, path, false});
  }
  std::vector<std::string> words;
  std::optional<InputSource> open;
  bool first = true;
  auto close = [&] {
    if (!open || open->kind != InputSource::Kind::arguments) return;
    add_source(command_line, *std::move(open), first);
    first = false;
  };
  for (auto& word : command_line.words) {
    bool linked = word == options.arg_separator + "+" || word == options.arg_file_separator + "+";
    std::string_view name = std::string_view(word).substr(0, word.size() - (linked ? 1 : 0));
    bool arguments = name == options.arg_separator;
    bool files = name == options.arg_file_separator;
    if (arguments || files) {
      close();
      open = InputSource{
          files ? InputSource::Kind::file : InputSource::Kind::arguments, {}, {}, linked};
    } else if (!open) {
      words.push_back(std::move(word));
    } else if (open->kind == InputSource::Kind::arguments) {
      open->arguments.push_back(std::move(word));
    } else {
      add_source(command_line, {open->kind, {}, std::move(word), open->linked}, first);
      first = false;
    }
  }
  close();
  // An empty :::: names no file, but it is a source all the same: one without values.
  if (open && command_line.sources.empty()) command_line.sources.push_back({});
  command_line.words = std::move(words);
}

std::expected<void, std::string> check(const Options& options) {
  for (const std::string* separator : {&options.arg_separator, &options.arg_file_separator}) {
    if (separator->empty()) return std::unexpected("--arg-sep and --arg-file-sep need a text");
  }
  if (options.placeholders.value.empty()) {
    return std::unexpected("-I needs a replacement string, such as -I @@");
  }
  return {};
}

}  // namespace

std::expected<CommandLine, std::string> parse_command_line(std::vector<std::string> words) {
  auto parsed = parse_options(std::move(words));
  if (!parsed) return std::unexpected(parsed.error());
  if (auto checked = check(parsed->options); !checked) return std::unexpected(checked.error());
  CommandLine command_line{.options = std::move(parsed->options), .words = std::move(parsed->rest)};
  Options& options = command_line.options;
  // -L repeats the context unless -m or --xargs asks for the contrary.
  if (options.max_lines && !options.lines_as_args && !options.fill && !options.xargs) {
    options.repeat_context = true;
  }
  cut_sources(command_line);
  if (command_line.sources.empty()) {
    command_line.stdin_by_default = true;
    command_line.sources.push_back({InputSource::Kind::file, {}, "-", false});
  }
  return command_line;
}

std::vector<std::string> split_environment_options(std::string_view value) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;
  char quote = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    char c = value[i];
    bool blank = std::strchr(" \t\n", c) != nullptr && c != 0;
    if (quote == 0 && blank) {
      if (open) words.push_back(std::exchange(word, {}));
      open = false;
      continue;
    }
    open = true;
    if (c == '\\' && quote != '\'' && i + 1 < value.size()) {
      word += value[++i];
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      word += c;
    }
  }
  if (open) words.push_back(std::move(word));
  return words;
}

std::string_view terminal_hint() {
  return "tine run: reading values from the terminal, one per line; end with Ctrl-D.\n"
         "          Give them with ::: or :::: or a pipe instead; --help explains.\n";
}

}  // namespace tine::cli
