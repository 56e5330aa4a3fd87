// SPDX-License-Identifier: MIT
#include "cli/template_parser.h"

#include <algorithm>
#include <charconv>

namespace tine::cli {
namespace {

constexpr std::pair<std::string_view, Operation> kPlusNames[] = {
    {"{##}", Operation::total},
    {"{0#}", Operation::padded_sequence},
    {"{0%}", Operation::padded_slot},
    {"{+/}", Operation::directory},
    {"{+.}", Operation::extension},
    {"{+..}", Operation::two_extensions},
    {"{+...}", Operation::three_extensions},
    {"{..}", Operation::no_two_extensions},
    {"{...}", Operation::no_three_extensions},
    {"{/..}", Operation::basename_no_two},
    {"{/...}", Operation::basename_no_three},
};

constexpr std::pair<std::string_view, std::string_view> kVariables[] = {
    {"{slot}", "${PARALLEL_JOBSLOT}"},    {"{sshlogin}", "${PARALLEL_SSHLOGIN}"},
    {"{host}", "${PARALLEL_SSHHOST}"},    {"{agrp}", "${PARALLEL_ARGHOSTGROUPS}"},
    {"{hgrp}", "${PARALLEL_HOSTGROUPS}"},
};

constexpr std::string_view kSpaceAndTab = " \t";

std::string_view braced(std::string_view name) {
  bool both = name.size() >= 2 && name.front() == '{' && name.back() == '}';
  return both ? name.substr(1, name.size() - 2) : std::string_view();
}

bool is_braced(std::string_view name) {
  return name.size() >= 2 && name.front() == '{' && name.back() == '}';
}

}  // namespace

TemplateParser::TemplateParser(const TemplateRules& rules) : rules_(rules) {
  const Placeholders& names = rules.placeholders;
  names_ = {{names.value, Operation::value},
            {names.no_extension, Operation::no_extension},
            {names.basename, Operation::basename},
            {names.dirname, Operation::dirname},
            {names.basename_no_ext, Operation::basename_no_ext},
            {names.sequence, Operation::sequence},
            {names.slot, Operation::slot}};
  if (rules.plus) names_.insert(names_.end(), std::begin(kPlusNames), std::end(kPlusNames));
  std::ranges::sort(names_, [](const auto& a, const auto& b) {
    if (a.first.size() != b.first.size()) return a.first.size() > b.first.size();
    return a.second < b.second;
  });
}

std::expected<Template, std::string> TemplateParser::parse(const std::vector<std::string>& words) {
  result_.quoting_ = rules_.quoting;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0 && rules_.quoting == Quoting::words) {
      put_piece({.kind = Template::Piece::Kind::word_end});
    } else if (i > 0) {
      put_text(" ");
    }
    if (auto parsed = parse_text(words[i]); !parsed) return std::unexpected(parsed.error());
  }
  if (!result_.has_replacement_ && rules_.append_value) append_value();
  result_.raw_values_ = rules_.quoting == Quoting::none ||
                        (rules_.quoting == Quoting::values && value_in_first_word());
  cut_segments();
  return std::move(result_);
}

bool TemplateParser::value_in_first_word() const {
  for (const auto& piece : result_.pieces_) {
    if (piece.kind == Template::Piece::Kind::replacement) return true;
    if (piece.text.empty() || piece.text.find_first_of(" \t\n") != std::string::npos) return false;
  }
  return false;
}

void TemplateParser::append_value() {
  if (!result_.pieces_.empty()) {
    if (rules_.quoting == Quoting::words) {
      put_piece({.kind = Template::Piece::Kind::word_end});
    } else {
      put_text(" ");
    }
  }
  put_piece({.kind = Template::Piece::Kind::replacement});
}

std::expected<void, std::string> TemplateParser::parse_text(std::string_view text) {
  // An empty word keeps its place; it must not be mistaken for no template.
  if (text.empty()) put_text("");
  while (!text.empty()) {
    auto found = find_at(text);
    if (!found) return std::unexpected(found.error());
    if (*found) {
      text.remove_prefix((*found)->length);
      put_piece(std::move((*found)->piece));
    } else {
      put_text(text.substr(0, 1));
      text.remove_prefix(1);
    }
  }
  return {};
}

TemplateParser::MaybeFound TemplateParser::find_at(std::string_view text) {
  if (auto named = find_named(text)) return named;
  if (text[0] != '{') return std::nullopt;
  if (text.starts_with("{=") && text.find("=}") != std::string_view::npos) {
    return std::unexpected(
        "not supported: the Perl expression " + std::string(text.substr(0, text.find("=}") + 2)) +
        "; see --plus for replacement strings that change a value, or use the shell's own means");
  }
  return find_braced(text);
}

std::optional<TemplateParser::Found> TemplateParser::find_named(std::string_view text) const {
  for (const auto& [name, operation] : names_) {
    if (!name.empty() && text.starts_with(name)) {
      return Found{
          name.size(),
          {.kind = Template::Piece::Kind::replacement, .transform = {.operation = operation}}};
    }
  }
  if (!rules_.plus) return std::nullopt;
  for (const auto& [name, variable] : kVariables) {
    if (!text.starts_with(name)) continue;
    Transform transform{.operation = Operation::shell_variable, .text = std::string(variable)};
    return Found{name.size(),
                 {.kind = Template::Piece::Kind::replacement, .transform = std::move(transform)}};
  }
  return std::nullopt;
}

TemplateParser::MaybeFound TemplateParser::find_braced(std::string_view text) const {
  std::size_t end = text.find('}');
  if (end == std::string_view::npos) return std::nullopt;
  auto found = parse_body(text.substr(1, end - 1));
  if (found && *found) (*found)->length = end + 1;
  return found;
}

TemplateParser::MaybeFound TemplateParser::parse_body(std::string_view body) const {
  if (rules_.plus && (body.ends_with("uniq") || body.ends_with("choose_k"))) {
    return std::unexpected("not supported yet: {" + std::string(body) + "}");
  }
  auto [position, rest] = split_position(body);
  auto transform = parse_operation(rest);
  if (!transform) return std::unexpected(transform.error());
  if (!*transform) return std::nullopt;
  return Found{0,
               {.kind = Template::Piece::Kind::replacement,
                .transform = **std::move(transform),
                .position = position}};
}

std::expected<std::optional<Transform>, std::string> TemplateParser::parse_operation(
    std::string_view body) const {
  for (const auto& [name, operation] : names_) {
    if (is_braced(name) && braced(name) == body) return Transform{.operation = operation};
  }
  if (!rules_.plus) return std::nullopt;
  return parse_dynamic(body);
}

// {2/} is column 2, {name/} the column of that name; without either it is every value.
std::pair<int, std::string_view> TemplateParser::split_position(std::string_view body) const {
  std::size_t longest = 0;
  int position = 0;
  for (std::size_t i = 0; i < rules_.columns.size(); ++i) {
    const std::string& name = rules_.columns[i];
    if (name.size() <= longest || !body.starts_with(name)) continue;
    auto operation = parse_operation(body.substr(name.size()));
    if (!operation || !*operation) continue;
    longest = name.size();
    position = static_cast<int>(i) + 1;
  }
  if (longest > 0) return {position, body.substr(longest)};
  auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), position);
  if (error != std::errc()) return {0, body};
  std::string_view rest = body.substr(static_cast<std::size_t>(end - body.data()));
  return {position, rest.substr(std::min(rest.find_first_not_of(' '), rest.size()))};
}

void TemplateParser::put_text(std::string_view text) {
  auto& pieces = result_.pieces_;
  bool joins = !pieces.empty() && pieces.back().kind == Template::Piece::Kind::text;
  if (!joins) pieces.emplace_back();
  pieces.back().text += text;
}

void TemplateParser::put_piece(Template::Piece piece) {
  if (piece.kind == Template::Piece::Kind::replacement) {
    result_.has_replacement_ = true;
    result_.needs_total_ |= piece.transform.needs_total();
  }
  result_.pieces_.push_back(std::move(piece));
}

// With -X the run of non-blank text around a replacement string is repeated for each value, so
// text is cut at blanks and each run becomes a segment.
void TemplateParser::cut_segments() {
  using Kind = Template::Piece::Kind;
  auto& pieces = result_.pieces_;
  if (!rules_.repeat_context) {
    result_.segments_ = {{0, pieces.size(), false}};
    return;
  }
  for (auto& piece : pieces) {
    if (piece.kind == Kind::text) {
      cut_text(piece.text);
      continue;
    }
    bool ends_word = piece.kind == Kind::word_end;
    if (ends_word) end_segment();
    segment_.repeats |= !ends_word && piece.position == 0 && !piece.transform.about_job();
    cut_.push_back(std::move(piece));
    if (ends_word) end_segment();
  }
  end_segment();
  pieces = std::move(cut_);
}

// Blanks are segments of their own.
void TemplateParser::cut_text(std::string_view text) {
  if (text.empty()) cut_.emplace_back();
  while (!text.empty()) {
    bool blank = kSpaceAndTab.find(text[0]) != std::string_view::npos;
    std::size_t size =
        blank ? text.find_first_not_of(kSpaceAndTab) : text.find_first_of(kSpaceAndTab);
    size = std::min(size, text.size());
    if (blank) end_segment();
    cut_.push_back({.text = std::string(text.substr(0, size))});
    if (blank) end_segment();
    text.remove_prefix(size);
  }
}

void TemplateParser::end_segment() {
  segment_.last = cut_.size();
  if (segment_.first != segment_.last) result_.segments_.push_back(segment_);
  segment_ = {cut_.size(), cut_.size(), false};
}

std::expected<Template, std::string> Template::parse(const std::vector<std::string>& words,
                                                     const TemplateRules& rules) {
  return TemplateParser(rules).parse(words);
}

}  // namespace tine::cli
