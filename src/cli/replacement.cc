// SPDX-License-Identifier: MIT
#include "cli/replacement.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <regex>

namespace tine::cli {

/// A regular expression. One made of plain characters and dots has a fixed length and is compared
/// by hand: {%.gz} is the common case, and std::regex costs microseconds each time.
class Pattern {
 public:
  explicit Pattern(std::string_view source) : source_(source) {
    fixed_ = source.find_first_of("\\^$|?*+()[]{}") == std::string_view::npos;
    if (!fixed_) regex_ = std::regex(source_, std::regex::ECMAScript | std::regex::optimize);
  }

  /// The length of the shortest or longest prefix of `text` that matches; npos: none.
  std::size_t prefix(std::string_view text, bool longest) const {
    if (fixed_) return fits(text, 0) ? source_.size() : std::string_view::npos;
    for (std::size_t i = 0; i <= text.size(); ++i) {
      std::size_t length = longest ? text.size() - i : i;
      if (whole(text.substr(0, length))) return length;
    }
    return std::string_view::npos;
  }

  /// Where the shortest or longest suffix of `text` that matches begins; npos: none.
  std::size_t suffix(std::string_view text, bool longest) const {
    if (fixed_) {
      if (text.size() < source_.size()) return std::string_view::npos;
      std::size_t at = text.size() - source_.size();
      return fits(text, at) ? at : std::string_view::npos;
    }
    for (std::size_t i = 0; i <= text.size(); ++i) {
      std::size_t at = longest ? i : text.size() - i;
      if (whole(text.substr(at))) return at;
    }
    return std::string_view::npos;
  }

  /// The first match at or after `from`: its place and length.
  std::optional<std::pair<std::size_t, std::size_t>> find(std::string_view text,
                                                          std::size_t from) const {
    if (fixed_) {
      for (; from + source_.size() <= text.size(); ++from) {
        if (fits(text, from)) return std::pair{from, source_.size()};
      }
      return std::nullopt;
    }
    std::cmatch match;
    auto flags =
        from == 0 ? std::regex_constants::match_default : std::regex_constants::match_prev_avail;
    if (!std::regex_search(text.data() + from, text.data() + text.size(), match, regex_, flags)) {
      return std::nullopt;
    }
    return std::pair{from + static_cast<std::size_t>(match.position()),
                     static_cast<std::size_t>(match.length())};
  }

 private:
  bool fits(std::string_view text, std::size_t at) const {
    if (at + source_.size() > text.size()) return false;
    for (std::size_t i = 0; i < source_.size(); ++i) {
      bool any = source_[i] == '.' && text[at + i] != '\n';
      if (!any && source_[i] != text[at + i]) return false;
    }
    return true;
  }
  bool whole(std::string_view text) const {
    return std::regex_match(text.data(), text.data() + text.size(), regex_);
  }

  std::string source_;
  bool fixed_ = false;
  std::regex regex_;
};

namespace {

// Where the last `count` extensions begin, at their first dot; npos when there are fewer.
std::size_t extensions_at(std::string_view value, int count) {
  for (std::size_t i = value.size(); i > 0; --i) {
    if (value[i - 1] == '/') break;
    if (value[i - 1] == '.' && --count == 0) return i - 1;
  }
  return std::string_view::npos;
}

std::string_view without_extensions(std::string_view value, int count) {
  return value.substr(0, extensions_at(value, count));
}

std::string_view extensions(std::string_view value, int count) {
  // A single extension is whatever follows the last dot, even across a slash.
  std::size_t dot = count == 1 ? value.rfind('.') : extensions_at(value, count);
  return dot == std::string_view::npos ? std::string_view() : value.substr(dot + 1);
}

std::string_view basename(std::string_view value) { return value.substr(value.rfind('/') + 1); }

std::string_view directory(std::string_view value) {
  std::size_t slash = value.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : value.substr(0, slash);
}

std::string_view without_trailing_slashes(std::string_view value) {
  return value.substr(0, value.find_last_not_of('/') + 1);
}

// As dirname(1).
std::string_view dirname(std::string_view value) {
  std::string_view path = without_trailing_slashes(value);
  std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return path.empty() && !value.empty() ? "/" : ".";
  path = without_trailing_slashes(path.substr(0, slash));
  return path.empty() ? "/" : path;
}

std::string_view substring(const Transform& transform, std::string_view value) {
  return transform.from >= value.size() ? std::string_view()
                                        : value.substr(transform.from, transform.length);
}

std::string_view without_prefix(const Transform& transform, std::string_view value, bool longest) {
  std::size_t length = transform.pattern->prefix(value, longest);
  return length == std::string_view::npos ? value : value.substr(length);
}

std::string_view without_suffix(const Transform& transform, std::string_view value, bool longest) {
  return value.substr(0, transform.pattern->suffix(value, longest));
}

// Replaces matches by what `edit` appends for them.
template <class Edit>
std::string_view edited(const Transform& transform, std::string_view value, bool all,
                        std::string& scratch, Edit edit) {
  scratch.clear();
  std::size_t from = 0;
  while (auto match = transform.pattern->find(value, from)) {
    auto [at, length] = *match;
    scratch += value.substr(from, at - from);
    edit(value.substr(at, length));
    from = at + length;
    if (!all) break;
    if (length == 0) {
      // An empty match would be found again at the same place.
      if (from >= value.size()) break;
      scratch += value[from++];
    }
  }
  scratch += value.substr(std::min(from, value.size()));
  return scratch;
}

std::string_view replaced(const Transform& transform, std::string_view value, bool all,
                          std::string& scratch) {
  return edited(transform, value, all, scratch,
                [&](std::string_view) { scratch += transform.text; });
}

using CharacterFunction = int (*)(int);

std::string_view cased(const Transform& transform, std::string_view value, bool all,
                       CharacterFunction change, std::string& scratch) {
  auto edit = [&](std::string_view match) {
    for (unsigned char c : match) scratch += static_cast<char>(change(c));
  };
  if (all) return edited(transform, value, true, scratch, edit);
  std::size_t length = transform.pattern->prefix(value, true);
  if (length == std::string_view::npos) return value;
  scratch.clear();
  edit(value.substr(0, length));
  scratch += value.substr(length);
  return scratch;
}

bool is_number(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::size_t to_number(std::string_view text) {
  std::size_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() ? number : std::string::npos;
}

using Parsed = std::expected<std::optional<Transform>, std::string>;

Parsed with_pattern(Operation operation, std::string_view pattern, std::string_view text = {}) {
  try {
    return Transform{operation, std::string(text), 0, std::string::npos,
                     std::make_shared<Pattern>(pattern)};
  } catch (const std::regex_error&) {
    return std::unexpected("'" + std::string(pattern) +
                           "' is not a regular expression that tine knows: use literal text, . "
                           "[a-z] * + ? | ( ) and \\ before a special character");
  }
}

// {:-text} {:from} {:from:length}
std::optional<Transform> parse_colon(std::string_view body) {
  if (body.starts_with('-') && body.size() > 1) {
    return Transform{Operation::if_empty, std::string(body.substr(1)), 0, 0, nullptr};
  }
  std::size_t colon = body.find(':');
  std::string_view from = body.substr(0, colon);
  if (!is_number(from)) return std::nullopt;
  Transform transform{Operation::substring, {}, to_number(from), std::string::npos, nullptr};
  if (colon == std::string_view::npos) return transform;
  std::string_view length = body.substr(colon + 1);
  if (!is_number(length)) return std::nullopt;
  transform.length = to_number(length);
  return transform;
}

// {/re/text}, and {//re/text} for every match.
Parsed parse_replace(std::string_view body, Operation operation) {
  std::size_t slash = body.find('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  return with_pattern(operation, body.substr(0, slash), body.substr(slash + 1));
}

struct PrefixedOperation {
  char sign;
  Operation once;
  Operation twice;
};

constexpr PrefixedOperation kPrefixed[] = {
    {'#', Operation::no_prefix, Operation::no_longest_prefix},
    {'%', Operation::no_suffix, Operation::no_longest_suffix},
    {'^', Operation::upper_start, Operation::upper_all},
    {',', Operation::lower_start, Operation::lower_all},
    {'/', Operation::replace_first, Operation::replace_all},
};

}  // namespace

bool Transform::about_job() const {
  switch (operation) {
    case Operation::sequence:
    case Operation::slot:
    case Operation::total:
    case Operation::padded_sequence:
    case Operation::padded_slot:
    case Operation::shell_variable: return true;
    default: return false;
  }
}

bool Transform::needs_total() const {
  return operation == Operation::total || operation == Operation::padded_sequence;
}

Parsed parse_dynamic(std::string_view body) {
  if (body.size() < 2) return std::nullopt;
  if (body[0] == ':') return parse_colon(body.substr(1));
  for (const auto& [sign, once, twice] : kPrefixed) {
    if (body[0] != sign) continue;
    bool doubled = body.size() > 2 && body[1] == sign;
    Operation operation = doubled ? twice : once;
    std::string_view rest = body.substr(doubled ? 2 : 1);
    return sign == '/' ? parse_replace(rest, operation) : with_pattern(operation, rest);
  }
  return std::nullopt;
}

std::string_view apply(const Transform& transform, std::string_view value, std::string& scratch) {
  switch (transform.operation) {
    case Operation::no_extension: return without_extensions(value, 1);
    case Operation::basename: return basename(value);
    case Operation::dirname: return dirname(value);
    case Operation::basename_no_ext: return without_extensions(basename(value), 1);
    case Operation::directory: return directory(value);
    case Operation::extension: return extensions(value, 1);
    case Operation::two_extensions: return extensions(value, 2);
    case Operation::three_extensions: return extensions(value, 3);
    case Operation::no_two_extensions: return without_extensions(value, 2);
    case Operation::no_three_extensions: return without_extensions(value, 3);
    case Operation::basename_no_two: return without_extensions(basename(value), 2);
    case Operation::basename_no_three: return without_extensions(basename(value), 3);
    case Operation::if_empty: return value.empty() ? std::string_view(transform.text) : value;
    case Operation::substring: return substring(transform, value);
    case Operation::no_prefix: return without_prefix(transform, value, false);
    case Operation::no_longest_prefix: return without_prefix(transform, value, true);
    case Operation::no_suffix: return without_suffix(transform, value, false);
    case Operation::no_longest_suffix: return without_suffix(transform, value, true);
    case Operation::replace_first: return replaced(transform, value, false, scratch);
    case Operation::replace_all: return replaced(transform, value, true, scratch);
    case Operation::upper_start: return cased(transform, value, false, std::toupper, scratch);
    case Operation::upper_all: return cased(transform, value, true, std::toupper, scratch);
    case Operation::lower_start: return cased(transform, value, false, std::tolower, scratch);
    case Operation::lower_all: return cased(transform, value, true, std::tolower, scratch);
    default: return value;
  }
}

}  // namespace tine::cli
