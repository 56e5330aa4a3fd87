// SPDX-License-Identifier: MIT
#include "cli/source.h"

#include "cli/option_values.h"

namespace tine::cli {
namespace {

constexpr std::string_view kBlanks = " \t\n\r\f\v";

bool is_blank(std::string_view record) {
  return record.find_first_not_of(kBlanks) == std::string_view::npos;
}

// Is every special character of the separator escaped?
bool is_literal(std::string_view separator) {
  for (std::size_t i = 0; i < separator.size(); ++i) {
    if (separator[i] == '\\') {
      // \t, \n and escaped punctuation are characters; \s, \d and their like are classes.
      if (++i == separator.size()) return false;
      if (std::string_view("sSdDwWbB").find(separator[i]) != std::string_view::npos) return false;
    } else if (std::string_view("^$.|?*+()[]{}").find(separator[i]) != std::string_view::npos) {
      return false;
    }
  }
  return true;
}

// Steps through all states at once, where the usual way calls itself for each character and so
// runs out of stack in a record of 20 kB. It is slower, and does not know back references.
// Source: bits/regex_constants.h of libstdc++
constexpr auto kWithoutRecursion = std::regex_constants::__polynomial;

}  // namespace

std::string_view trimmed(std::string_view value, Trim trim) {
  if (trim == Trim::left || trim == Trim::both) {
    value.remove_prefix(std::min(value.find_first_not_of(kBlanks), value.size()));
  }
  if (trim == Trim::right || trim == Trim::both) {
    value = value.substr(0, value.find_last_not_of(kBlanks) + 1);
  }
  return value;
}

Result<ColumnSplitter> ColumnSplitter::parse(std::string_view separator) {
  ColumnSplitter splitter;
  if (is_literal(separator)) {
    splitter.literal_ = unescape(separator);
    return splitter;
  }
  try {
    constexpr auto kUsual = std::regex::ECMAScript | std::regex::optimize;
    splitter.regex_.emplace(std::string(separator), kUsual);
    splitter.regex_for_long_.emplace(std::string(separator), kUsual | kWithoutRecursion);
  } catch (const std::regex_error&) {
    return std::unexpected("--colsep '" + std::string(separator) +
                           "' is not a regular expression that tine knows: use literal text, "
                           "\\t, [,;] , a|b , + * ? and \\ before a special character");
  }
  return splitter;
}

const std::regex& ColumnSplitter::regex_for(std::string_view record) const {
  constexpr std::size_t kLong = 2048;
  return record.size() < kLong ? *regex_ : *regex_for_long_;
}

void ColumnSplitter::split(std::string_view record, std::vector<std::string_view>& columns) const {
  columns.clear();
  std::size_t from = 0;
  std::cmatch match;
  while (true) {
    std::size_t at = std::string_view::npos;
    std::size_t length = literal_.size();
    if (!regex_) {
      at = literal_.empty() ? std::string_view::npos : record.find(literal_, from);
    } else if (std::regex_search(record.data() + from, record.data() + record.size(), match,
                                 regex_for(record)) &&
               match[0].first != match[0].second) {
      at = from + static_cast<std::size_t>(match.position());
      length = static_cast<std::size_t>(match.length());
    }
    if (at == std::string_view::npos) break;
    columns.push_back(record.substr(from, at - from));
    from = at + length;
  }
  columns.push_back(record.substr(from));
}

Result<SourceRules> SourceRules::from(const Options& options) {
  SourceRules rules;
  rules.end_of_file = options.end_of_file;
  rules.skip_blank = options.skip_blank;
  rules.join_lines = options.max_lines.value_or(0) > 0;
  rules.trim = options.trim.value_or(options.column_separator ? Trim::both : Trim::none);
  if (options.column_separator) {
    auto splitter = ColumnSplitter::parse(*options.column_separator);
    if (!splitter) return std::unexpected(splitter.error());
    rules.splitter = *std::move(splitter);
  }
  return rules;
}

Result<Pull> Source::next(Values& out) {
  std::string_view record;
  while (true) {
    auto pulled = rules_->join_lines ? next_joined(record) : next_record(record);
    if (!pulled || *pulled != Pull::job) return pulled;
    if (rules_->skip_blank && is_blank(record)) continue;
    push_columns(record, out);
    given_ = true;
    return Pull::job;
  }
}

Result<Pull> Source::next_header(const ColumnSplitter& splitter, std::vector<std::string>& names) {
  std::string_view record;
  auto pulled = next_record(record);
  if (!pulled || *pulled != Pull::job) return pulled;
  splitter.split(record, columns_);
  for (auto column : columns_) names.emplace_back(trimmed(column, rules_->trim));
  return Pull::job;
}

Result<Pull> Source::next_record(std::string_view& record) {
  if (ended_) return Pull::end;
  auto pulled = reader_->next(record);
  if (!pulled || *pulled == Pull::would_block) return pulled;
  ended_ = *pulled == Pull::end || (rules_->end_of_file && record == *rules_->end_of_file);
  if (ended_) return Pull::end;
  if (record.find('\0') != std::string_view::npos) record = without_nul(record);
  return Pull::job;
}

Result<Pull> Source::next_joined(std::string_view& record) {
  while (true) {
    auto pulled = next_record(record);
    if (!pulled || *pulled == Pull::would_block) return pulled;
    if (*pulled == Pull::end) {
      if (!joining_) return Pull::end;
    } else if (!joining_) {
      joined_.assign(record);
    } else {
      joined_ += record;
    }
    joining_ = *pulled == Pull::job && (joined_.ends_with(' ') || joined_.ends_with('\t'));
    if (joining_) continue;
    record = joined_;
    return Pull::job;
  }
}

std::string_view Source::without_nul(std::string_view record) {
  had_nul_ = true;
  cleaned_.clear();
  for (char c : record) {
    if (c == '\0') {
      cleaned_ += "\\0";
    } else {
      cleaned_ += c;
    }
  }
  return cleaned_;
}

void Source::push_columns(std::string_view record, Values& out) {
  if (!rules_->splitter) {
    out.push(trimmed(record, rules_->trim));
    return;
  }
  rules_->splitter->split(record, columns_);
  for (auto column : columns_) out.push(trimmed(column, rules_->trim));
}

}  // namespace tine::cli
