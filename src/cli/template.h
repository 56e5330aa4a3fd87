// SPDX-License-Identifier: MIT
/// The command template: parsed once into text and replacement strings, then rendered for each job
/// by appending only. Whether a job can do without a shell is decided here too, once per template.
///
/// Threads: a Template may be used by one thread at a time (it keeps scratch space).
/// Example:  Template::parse({"echo", "{/}"}, {}) -> render({.args = {"a/b"}}, line) -> "echo b"
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/quote.h"
#include "cli/replacement.h"

namespace tine::cli {

/// The replacement strings that the user may rename.
struct Placeholders {
  std::string value = "{}";
  std::string no_extension = "{.}";
  std::string basename = "{/}";
  std::string dirname = "{//}";
  std::string basename_no_ext = "{/.}";
  std::string sequence = "{#}";
  std::string slot = "{%}";
};

enum class Quoting {
  values,  ///< text as it stands, values quoted: the command
  words,   ///< each word quoted as a whole after replacing: -q
  none,    ///< nothing quoted: --tagstring, --results
};

struct TemplateRules {
  Placeholders placeholders{};
  bool plus = false;
  /// Repeat the word around a replacement string for each value (-X), not the value alone (-m).
  bool repeat_context = false;
  Quoting quoting = Quoting::values;
  /// Append {} when there is no replacement string.
  bool append_value = true;
  /// --header: the name of each column; {name} is the value of that column.
  std::vector<std::string> columns{};
};

/// What a job puts into the template.
struct JobValues {
  std::span<const std::string> args{};
  std::uint64_t sequence = 1;
  int slot = 1;
  std::uint64_t total = 0;  ///< 0: not known
  int slots = 1;
  bool blank = false;  ///< -n0: the values are there, but empty and not even quoted
};

class Template {
 public:
  struct Piece {
    enum class Kind { text, replacement, word_end };
    Kind kind = Kind::text;
    std::string text{};
    Transform transform{};
    int position = 0;  ///< 0: every value; n: the nth; -n: the nth from the end
    std::vector<WordScanner::Chunk> chunks{};  ///< `text` as the shell would cut it
  };
  /// Pieces rendered together: once, or again for each value.
  struct Segment {
    std::size_t first = 0;
    std::size_t last = 0;
    bool repeats = false;
  };

  /// Errors: a Perl expression, a --plus string that is not supported, a bad regular expression.
  static std::expected<Template, std::string> parse(const std::vector<std::string>& words,
                                                    const TemplateRules& rules);

  /// Decides whether jobs of this template can be run without a shell.
  void find_direct_form(const ShellFacts& facts);
  /// Why every job needs the shell; empty when at least some don't.
  std::string_view needs_shell() const { return needs_shell_; }

  /// Appends the command line, as the shell is to read it, to `out`.
  void render(const JobValues& values, std::string& out);
  /// Fills `argv` and answers true when this job needs no shell; `line` is what render() gave.
  bool render_argv(const JobValues& values, std::string_view line, std::vector<std::string>& argv);

  bool needs_total() const { return needs_total_; }
  bool has_replacement() const { return has_replacement_; }

 private:
  friend class TemplateParser;
  friend class LineLength;
  enum class Direct { never, compiled, per_line };

  template <class Sink>
  void walk(const JobValues& values, Sink& sink);
  template <class Sink>
  void walk_segment(const Segment& segment, const JobValues& values, Sink& sink);
  template <class Sink>
  void put(const Piece& piece, const JobValues& values, std::span<const std::string> all,
           Sink& sink);
  std::string_view job_fact(const Transform& transform, const JobValues& values);
  bool compile_words();
  bool compile_segment(const Segment& segment, WordScanner& scanner);
  bool compile_piece(Piece& piece, WordScanner& scanner);
  bool find_first_word(const ShellFacts& facts);

  std::vector<Piece> pieces_;
  std::vector<Segment> segments_;
  Quoting quoting_ = Quoting::values;
  bool raw_values_ = false;  ///< the first word holds a replacement string: nothing is quoted
  bool needs_total_ = false;
  bool has_replacement_ = false;
  Direct direct_ = Direct::never;
  FirstWord first_word_ = FirstWord::shell;
  ShellFacts facts_;
  std::string_view needs_shell_ = "it has not been looked at";
  std::string scratch_;
  std::string word_;
};

}  // namespace tine::cli
