// SPDX-License-Identifier: MIT
/// One input source: records from a reader, ended at the end-of-file string, trimmed, and cut into
/// columns.
///
/// Threads: one source belongs to one thread.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/input.h"
#include "cli/options.h"

namespace tine::cli {

/// Strings that keep their memory when cleared, so that reading a million records allocates a few.
class Values {
 public:
  void push(std::string_view value) {
    if (size_ == items_.size()) items_.emplace_back();
    items_[size_++].assign(value);
  }
  void append(const Values& other) {
    for (const auto& value : other.all()) push(value);
  }
  void blank() {
    for (std::size_t i = 0; i < size_; ++i) items_[i].clear();
  }
  void shrink_to(std::size_t size) { size_ = size; }
  void clear() { size_ = 0; }
  std::size_t size() const { return size_; }
  std::span<const std::string> all() const { return {items_.data(), size_}; }

 private:
  std::vector<std::string> items_;
  std::size_t size_ = 0;
};

/// Cuts a record at a separator: literal text, or a regular expression made of escapes, character
/// classes, repetition, alternatives and groups.
class ColumnSplitter {
 public:
  /// Errors: the separator is not such an expression.
  static Result<ColumnSplitter> parse(std::string_view separator);
  void split(std::string_view record, std::vector<std::string_view>& columns) const;

 private:
  [[nodiscard]] const std::regex& regex_for(std::string_view record) const;

  std::string literal_;
  std::optional<std::regex> regex_;
  std::optional<std::regex> regex_for_long_;
};

/// How the records of every source are treated.
struct SourceRules {
  std::optional<std::string> end_of_file{};
  bool skip_blank = false;
  bool join_lines = false;  ///< -L: a line that ends in a blank continues on the next
  Trim trim = Trim::none;
  std::optional<ColumnSplitter> splitter{};

  static Result<SourceRules> from(const Options& options);
};

class Source {
 public:
  Source(std::shared_ptr<RecordReader> reader, std::shared_ptr<const SourceRules> rules)
      : reader_(std::move(reader)), rules_(std::move(rules)) {}

  /// Appends the columns of the next record to `out`.
  Result<Pull> next(Values& out);
  /// The next record as the names of columns.
  Result<Pull> next_header(const ColumnSplitter& splitter, std::vector<std::string>& names);
  int fd() const { return reader_->fd(); }
  /// Has it given no record, and is it at its end?
  bool empty() const { return ended_ && !given_; }
  /// NULs were replaced by \0, because no argument can hold one.
  bool had_nul() const { return had_nul_; }

 private:
  Result<Pull> next_record(std::string_view& record);
  Result<Pull> next_joined(std::string_view& record);
  std::string_view without_nul(std::string_view record);
  void push_columns(std::string_view record, Values& out);

  std::shared_ptr<RecordReader> reader_;
  std::shared_ptr<const SourceRules> rules_;
  std::string joined_;  ///< lines gathered so far for -L
  bool joining_ = false;
  bool ended_ = false;
  bool given_ = false;
  bool had_nul_ = false;
  std::string cleaned_;
  std::vector<std::string_view> columns_;
};

std::string_view trimmed(std::string_view value, Trim trim);

}  // namespace tine::cli
