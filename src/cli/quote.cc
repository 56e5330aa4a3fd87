// SPDX-License-Identifier: MIT
#include "cli/quote.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace tine::cli {
namespace {

constexpr std::array<bool, 256> make_safe() {
  std::array<bool, 256> safe{};
  for (char c = 'a'; c <= 'z'; ++c) safe[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) safe[static_cast<unsigned char>(c)] = true;
  for (char c = '0'; c <= '9'; ++c) safe[static_cast<unsigned char>(c)] = true;
  for (char c : {'_', '.', '/', '+', '-'}) safe[static_cast<unsigned char>(c)] = true;
  return safe;
}

constexpr auto kSafe = make_safe();
constexpr std::string_view kQuotedQuote = "\"'\"";

bool is_plain(std::string_view value) {
  if (value.empty()) return false;
  return std::ranges::all_of(value, [](char c) { return kSafe[static_cast<unsigned char>(c)]; });
}

constexpr std::string_view kShellWords[] = {
    "!",       "%",         ".",        ":",       "[",        "[[",     "]]",      "alias",
    "bg",      "bind",      "break",    "builtin", "caller",   "case",   "cd",      "chdir",
    "command", "compgen",   "complete", "compopt", "continue", "coproc", "declare", "dirs",
    "disown",  "do",        "done",     "elif",    "else",     "enable", "esac",    "eval",
    "exec",    "exit",      "export",   "fc",      "fg",       "fi",     "for",     "function",
    "getopts", "hash",      "help",     "history", "if",       "in",     "jobs",    "kill",
    "let",     "local",     "logout",   "mapfile", "popd",     "printf", "pushd",   "pwd",
    "read",    "readarray", "readonly", "return",  "select",   "set",    "shift",   "shopt",
    "source",  "suspend",   "test",     "then",    "time",     "times",  "trap",    "type",
    "typeset", "ulimit",    "umask",    "unalias", "unset",    "until",  "wait",    "while",
    "{",       "}",
};

bool starts(std::string_view text, std::string_view prefix) { return text.starts_with(prefix); }

// Bash exports functions as BASH_FUNC_name%%=() {...}.
std::optional<std::string> exported_function(std::string_view entry) {
  constexpr std::string_view kPrefix = "BASH_FUNC_";
  auto end = entry.find("%%=");
  if (!starts(entry, kPrefix) || end == std::string_view::npos) return std::nullopt;
  return std::string(entry.substr(kPrefix.size(), end - kPrefix.size()));
}

bool is_echo_option(std::string_view word) {
  return word.size() > 1 && word[0] == '-' &&
         word.find_first_not_of("neE", 1) == std::string_view::npos;
}

bool asks_for_help(std::string_view word) {
  // The programs use getopt_long, which takes any prefix that is not ambiguous.
  return word.size() > 2 && word.starts_with("--");
}

bool same_as_builtin_echo(const std::vector<std::string>& argv) {
  bool options = true;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word.find('\\') != std::string::npos) return false;
    if (options && asks_for_help(word)) return false;
    options = options && is_echo_option(word);
    if (options && word.find('e') != std::string::npos) return false;
  }
  return true;
}

}  // namespace

void append_quoted(std::string& out, std::string_view value) {
  if (is_plain(value)) {
    out += value;
    return;
  }
  if (value.empty()) {
    out += "''";
    return;
  }
  std::size_t from = 0;
  while (true) {
    std::size_t quote = value.find('\'', from);
    bool last = quote == std::string_view::npos;
    auto part = value.substr(from, last ? value.size() - from : quote - from);
    // Nothing before the first quote or after the last needs no pair of its own.
    if (!part.empty() || (from != 0 && !last)) {
      out += '\'';
      out += part;
      out += '\'';
    }
    if (last) return;
    out += kQuotedQuote;
    from = quote + 1;
  }
}

std::string shell_quoted(std::string_view value) {
  std::string out;
  append_quoted(out, value);
  return out;
}

std::size_t quoted_length(std::string_view value) {
  if (is_plain(value)) return value.size();
  if (value.find('\'') == std::string_view::npos) return value.size() + 2;
  return shell_quoted(value).size();
}

bool WordScanner::feed(std::string_view text, std::vector<Chunk>& out) {
  out_ = &out;
  part_ = Chunk{};
  for (char c : text) {
    bool known = true;
    if (c == '\0') {
      known = false;
    } else if (state_ == State::single) {
      if (c == '\'') {
        state_ = State::bare;
      } else {
        put(c);
      }
    } else {
      known = state_ == State::bare ? bare(c) : dquoted(c);
    }
    if (!known) return false;
  }
  if (part_.breaks || part_.present) out.push_back(std::move(part_));
  return true;
}

bool WordScanner::feed_value() {
  in_word_ = true;
  after_value_ = true;
  return state_ == State::bare && !escaped_;
}

void WordScanner::open_word() {
  part_.present = true;
  in_word_ = true;
  after_value_ = false;
}

void WordScanner::put(char c) {
  open_word();
  part_.text += c;
}

bool WordScanner::bare(char c) {
  if (escaped_) {
    escaped_ = false;
    if (c == '\n') return false;
    put(c);
    return true;
  }
  switch (c) {
    case '\\': escaped_ = true; return true;
    case '\'':
      open_word();
      state_ = State::single;
      return true;
    case '"':
      open_word();
      state_ = State::dquoted;
      return true;
    case ' ':
    case '\t':
      if (part_.present) out_->push_back(std::exchange(part_, Chunk{}));
      part_.breaks = true;
      in_word_ = false;
      after_value_ = false;
      return true;
    case '#':
      // A value before it may turn out to be absent, and a comment would start.
      if (!in_word_ || after_value_) return false;
      break;
    default:
      if (std::strchr("\n|&;<>()$`*?[~{}!", c) != nullptr) return false;
  }
  put(c);
  return true;
}

bool WordScanner::dquoted(char c) {
  if (escaped_) {
    escaped_ = false;
    if (c == '\n') return false;
    if (c != '\\' && c != '"' && c != '$' && c != '`') put('\\');
    put(c);
    return true;
  }
  if (c == '$' || c == '`' || c == '!') return false;
  if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    state_ = State::bare;
  } else {
    put(c);
  }
  return true;
}

std::optional<std::vector<std::string>> split_simple(std::string_view line) {
  WordScanner scanner;
  std::vector<WordScanner::Chunk> chunks;
  if (!scanner.feed(line, chunks) || !scanner.finish()) return std::nullopt;
  std::vector<std::string> words;
  for (auto& chunk : chunks) {
    if (chunk.present) words.push_back(std::move(chunk.text));
  }
  return words;
}

ShellFacts ShellFacts::from_environment(std::string_view shell, const char* const* environment) {
  ShellFacts facts;
  std::string_view name = shell.substr(shell.rfind('/') + 1);
  facts.predictable = name == "bash" || name == "sh" || name == "dash";
  bool has_path = false;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    std::string_view entry = *environment;
    if (auto function = exported_function(entry)) facts.functions.insert(*std::move(function));
    if (starts(entry, "BASH_ENV=") || starts(entry, "SHELLOPTS=") || starts(entry, "BASHOPTS=")) {
      facts.predictable = false;
    }
    if (starts(entry, "POSIXLY_CORRECT=")) facts.plain_echo = false;
    if (starts(entry, "PATH=")) has_path = true;
  }
  // Without PATH each shell has a default of its own.
  facts.predictable = facts.predictable && has_path;
  return facts;
}

FirstWord classify(std::string_view word, const ShellFacts& facts) {
  if (!facts.predictable || word.empty() || word[0] == '%') return FirstWord::shell;
  if (word.find('=') != std::string_view::npos) return FirstWord::shell;
  if (facts.functions.contains(std::string(word))) return FirstWord::shell;
  if (word == "echo") return facts.plain_echo ? FirstWord::echo : FirstWord::shell;
  if (word == "true" || word == "false") return FirstWord::truth;
  bool known = std::ranges::find(kShellWords, word) != std::end(kShellWords);
  return known ? FirstWord::shell : FirstWord::program;
}

bool same_as_builtin(FirstWord kind, const std::vector<std::string>& argv) {
  if (kind == FirstWord::echo) return same_as_builtin_echo(argv);
  if (kind == FirstWord::truth) return argv.size() < 2 || !asks_for_help(argv[1]);
  return true;
}

}  // namespace tine::cli
