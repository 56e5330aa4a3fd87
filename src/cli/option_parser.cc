// SPDX-License-Identifier: MIT
#include "cli/option_parser.h"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <utility>

#include "cli/option_table.h"

namespace tine::cli {

std::vector<std::string_view> split_names(std::string_view names) {
  std::vector<std::string_view> all;
  while (!names.empty()) {
    std::size_t space = std::min(names.find(' '), names.size());
    all.push_back(names.substr(0, space));
    names.remove_prefix(std::min(space + 1, names.size()));
  }
  return all;
}

std::string dashed(std::string_view name) {
  return (name.size() == 1 ? "-" : "--") + std::string(name);
}

namespace {

// One option as getopt sees it. `entry` is null for an unsupported one.
struct Known {
  const OptionEntry* entry = nullptr;
  std::string_view names;
  Argument argument = Argument::none;
};

std::vector<Known> all_options() {
  std::vector<Known> all;
  for (const auto& group : option_groups()) {
    for (const auto& entry : group.entries) all.push_back({&entry, entry.names, entry.argument});
  }
  for (const auto& option : unsupported_options()) {
    all.push_back({nullptr, option.names, option.argument});
  }
  return all;
}

int getopt_argument(Argument argument) {
  if (argument == Argument::none) return no_argument;
  return argument == Argument::required ? required_argument : optional_argument;
}

// How many letters have to be changed, added or left out to get from `a` to `b`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

/// Walks argv with getopt_long, whose tables are made from the option table.
class Parser {
 public:
  explicit Parser(std::vector<std::string> words)
      : words_(std::move(words)), known_(all_options()) {
    make_tables();
  }

  std::expected<ParsedOptions, std::string> parse();

 private:
  void make_tables();
  std::expected<void, std::string> apply(int code, std::string_view spelling);
  std::string_view value_of(const Known& option);
  std::string spelling_of(int code, int index) const;
  std::string complaint(int code) const;
  std::string ambiguous(std::string_view name) const;
  std::string unknown(std::string_view name) const;
  std::vector<std::string> nearest(std::string_view name) const;
  bool is_supported(std::size_t long_name) const;

  static constexpr int kFirstCode = 1000;

  std::vector<std::string> words_;
  std::vector<Known> known_;
  std::vector<std::string> long_names_;
  std::vector<option> long_options_;
  std::string short_options_ = "+:";
  std::array<int, 256> short_codes_{};
  std::vector<char*> argv_;
  ParsedOptions result_;
};

// All spellings of an option share one code, so that getopt does not call a prefix of two of them
// ambiguous.
void Parser::make_tables() {
  std::vector<std::pair<std::string, int>> longs;
  for (std::size_t i = 0; i < known_.size(); ++i) {
    int code = kFirstCode + static_cast<int>(i);
    for (auto name : split_names(known_[i].names)) {
      if (name.size() > 1) {
        longs.emplace_back(name, code);
        continue;
      }
      short_options_ += name;
      short_options_ +=
          std::string(static_cast<std::size_t>(getopt_argument(known_[i].argument)), ':');
      short_codes_[static_cast<unsigned char>(name[0])] = code;
    }
  }
  long_names_.reserve(longs.size());
  for (auto& [name, code] : longs) {
    long_names_.push_back(std::move(name));
    const Argument argument = known_[static_cast<std::size_t>(code - kFirstCode)].argument;
    long_options_.push_back({long_names_.back().c_str(), getopt_argument(argument), nullptr, code});
  }
  long_options_.push_back({nullptr, 0, nullptr, 0});
}

// An optional value may also be the next word, as in GNU parallel: when it is no option, and for a
// number when it is one.
std::string_view Parser::value_of(const Known& option) {
  if (optarg != nullptr) return optarg;
  bool takes =
      option.argument == Argument::optional || option.argument == Argument::optional_number;
  if (!takes || optind >= static_cast<int>(argv_.size()) - 1) return {};
  std::string_view next = argv_[static_cast<std::size_t>(optind)];
  bool fits = option.argument == Argument::optional
                  ? !next.starts_with('-') && !next.starts_with(":::")
                  : !next.empty() && std::isdigit(static_cast<unsigned char>(next[0])) != 0;
  if (!fits) return {};
  ++optind;
  return next;
}

std::expected<ParsedOptions, std::string> Parser::parse() {
  argv_.push_back(const_cast<char*>("tine run"));
  for (auto& word : words_) argv_.push_back(word.data());
  argv_.push_back(nullptr);
  optind = 0;
  opterr = 0;
  int index = -1;
  auto count = static_cast<int>(argv_.size()) - 1;
  while (true) {
    index = -1;
    int code =
        getopt_long(count, argv_.data(), short_options_.c_str(), long_options_.data(), &index);
    if (code == -1) break;
    if (code == '?' || code == ':') return std::unexpected(complaint(code));
    auto applied = apply(code, spelling_of(code, index));
    if (!applied) return std::unexpected(applied.error());
  }
  words_.erase(words_.begin(), words_.begin() + (optind - 1));
  result_.rest = std::move(words_);
  return std::move(result_);
}

std::string Parser::spelling_of(int code, int index) const {
  if (index >= 0) return dashed(long_names_[static_cast<std::size_t>(index)]);
  return dashed(std::string(1, static_cast<char>(code)));
}

std::expected<void, std::string> Parser::apply(int code, std::string_view spelling) {
  if (code < kFirstCode) code = short_codes_[static_cast<std::size_t>(code)];
  const Known& option = known_[static_cast<std::size_t>(code - kFirstCode)];
  if (option.entry == nullptr) {
    std::string note = spelling == "--rpl" || spelling == "--parens"
                           ? " (Perl expressions; see --plus for more replacement strings)"
                           : "";
    return std::unexpected("not supported yet: " + std::string(spelling) + note);
  }
  auto applied = option.entry->apply(result_.options, value_of(option));
  if (!applied) return std::unexpected(std::string(spelling) + ": " + applied.error());
  return {};
}

// getopt tells little: which short option (optopt), or that something is wrong with the long one
// before optind.
std::string Parser::complaint(int code) const {
  std::string_view word = argv_[static_cast<std::size_t>(optind - 1)];
  bool is_long = optopt == 0 || optopt >= kFirstCode;
  std::string_view name = word.substr(std::min<std::size_t>(2, word.size()));
  name = name.substr(0, name.find('='));
  std::string shown = is_long ? dashed(name) : dashed(std::string(1, static_cast<char>(optopt)));
  if (code == ':') return "option " + shown + " needs a value";
  if (optopt >= kFirstCode) return "option " + shown + " takes no value";
  if (!is_long) return unknown(std::string(1, static_cast<char>(optopt)));
  return ambiguous(name);
}

// A long name that getopt refused: a prefix of several names, or of none.
std::string Parser::ambiguous(std::string_view name) const {
  std::map<int, std::string> candidates;
  bool of_any = false;
  for (std::size_t i = 0; i < long_names_.size(); ++i) {
    if (!long_names_[i].starts_with(name)) continue;
    of_any = true;
    if (is_supported(i)) candidates.emplace(long_options_[i].val, long_names_[i]);
  }
  if (!of_any) return unknown(name);
  if (candidates.empty()) return "not supported yet: " + dashed(name);
  std::string text = "option " + dashed(name) + " is ambiguous; it could be";
  for (const auto& [code, candidate] : candidates) text += " --" + candidate;
  return text;
}

std::string Parser::unknown(std::string_view name) const {
  std::string text = "unknown option: " + dashed(name);
  auto near = nearest(name);
  if (near.empty()) return text + "; --help lists the options";
  text += "; did you mean ";
  for (std::size_t i = 0; i < near.size(); ++i) text += (i > 0 ? " or " : "") + dashed(near[i]);
  return text + "?";
}

bool Parser::is_supported(std::size_t long_name) const {
  return known_[static_cast<std::size_t>(long_options_[long_name].val - kFirstCode)].entry !=
         nullptr;
}

std::vector<std::string> Parser::nearest(std::string_view name) const {
  if (name.size() < 2) return {};
  std::size_t best = std::min<std::size_t>(3, name.size() / 2) + 1;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < long_names_.size(); ++i) {
    if (!is_supported(i)) continue;
    const std::string& known = long_names_[i];
    std::size_t far = distance(name, known);
    if (far > best || far > name.size() / 2) continue;
    if (far < best) names.clear();
    best = far;
    names.push_back(known);
  }
  if (names.size() > 3) names.resize(3);
  return names;
}

}  // namespace

std::expected<ParsedOptions, std::string> parse_options(std::vector<std::string> words) {
  return Parser(std::move(words)).parse();
}

}  // namespace tine::cli
