// SPDX-License-Identifier: MIT
/// Quoting for the shell, and its opposite: telling when a command line needs no shell at all.
/// The rule for the second half: running directly never differs in its effect from running by
/// the shell, so whatever is not plainly a word is left to the shell.
///
/// Threads: every function here may be called from any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace tine::cli {

/// Appends `value` as one word of a POSIX shell: as it stands when it is made of letters, digits
/// and `_./+-`, otherwise in single quotes. An empty value becomes ''.
void append_quoted(std::string& out, std::string_view value);
std::string shell_quoted(std::string_view value);
/// What append_quoted() would append, in bytes.
std::size_t quoted_length(std::string_view value);

/// Reads shell text piece by piece and cuts it into words, for as long as it consists of nothing
/// but words, quotes and backslashes. Values may stand between the pieces.
class WordScanner {
 public:
  /// A part of a word. `breaks`: the word before it ends here. `present`: it makes a word even
  /// when `text` is empty, as '' does.
  struct Chunk {
    std::string text{};
    bool breaks = false;
    bool present = false;
  };

  /// Appends the parts found in `text`; false when only a shell can read it.
  [[nodiscard]] bool feed(std::string_view text, std::vector<Chunk>& out);
  /// A value, quoted on its own, stands here; false inside quotes, where it would end them.
  [[nodiscard]] bool feed_value();
  /// The end of the text; false inside quotes or after a lone backslash.
  [[nodiscard]] bool finish() const { return state_ == State::bare && !escaped_; }

  /// Would the next character begin a word?
  bool between_words() const { return finish() && !in_word_; }

 private:
  enum class State { bare, single, dquoted };
  bool bare(char c);
  bool dquoted(char c);
  void put(char c);
  void open_word();

  State state_ = State::bare;
  bool escaped_ = false;
  bool in_word_ = false;
  bool after_value_ = false;
  Chunk part_;
  std::vector<Chunk>* out_ = nullptr;
};

/// The words of `line`, or nothing when it holds shell syntax beyond words, quotes and backslashes.
std::optional<std::vector<std::string>> split_simple(std::string_view line);

/// What the environment says about the shell that would run the jobs.
struct ShellFacts {
  /// False when the shell's start-up may change what words mean (BASH_ENV, SHELLOPTS) or when it
  /// is none of bash, dash and sh: then every job needs it.
  bool predictable = false;
  /// POSIXLY_CORRECT changes the options of the program echo, not of the builtin.
  bool plain_echo = true;
  std::unordered_set<std::string> functions;  ///< exported by bash, as BASH_FUNC_name%%

  static ShellFacts from_environment(std::string_view shell, const char* const* environment);
};

enum class FirstWord {
  program,  ///< running it directly is the same
  echo,     ///< a builtin equal to the program for plain arguments, see same_as_builtin()
  truth,    ///< true or false: likewise
  shell,    ///< builtin, reserved word, function or assignment
};

FirstWord classify(std::string_view word, const ShellFacts& facts);

/// Whether the programs echo, true and false do with `argv` what the builtins do: they differ in
/// --help and --version, in `echo -e` and, between shells, in backslashes.
bool same_as_builtin(FirstWord kind, const std::vector<std::string>& argv);

}  // namespace tine::cli
