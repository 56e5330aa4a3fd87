// SPDX-License-Identifier: MIT
/// Finds the replacement strings in a command template.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/template.h"

namespace tine::cli {

class TemplateParser {
 public:
  explicit TemplateParser(const TemplateRules& rules);
  std::expected<Template, std::string> parse(const std::vector<std::string>& words);

 private:
  struct Found {
    std::size_t length = 0;
    Template::Piece piece;
  };
  using MaybeFound = std::expected<std::optional<Found>, std::string>;

  std::expected<void, std::string> parse_text(std::string_view text);
  MaybeFound find_at(std::string_view text);
  std::optional<Found> find_named(std::string_view text) const;
  MaybeFound find_braced(std::string_view text) const;
  MaybeFound parse_body(std::string_view body) const;
  std::expected<std::optional<Transform>, std::string> parse_operation(std::string_view body) const;
  std::pair<int, std::string_view> split_position(std::string_view body) const;
  void put_text(std::string_view text);
  void put_piece(Template::Piece piece);
  void append_value();
  bool value_in_first_word() const;
  void cut_segments();
  void cut_text(std::string_view text);
  void end_segment();

  const TemplateRules& rules_;
  /// Fixed replacement strings, the longest first.
  std::vector<std::pair<std::string, Operation>> names_;
  Template result_;
  std::vector<Template::Piece> cut_;  ///< the pieces, cut at blanks
  Template::Segment segment_;         ///< the one being cut
};

}  // namespace tine::cli
