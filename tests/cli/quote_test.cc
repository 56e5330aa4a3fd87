// SPDX-License-Identifier: MIT
#include "cli/quote.h"

#include <gtest/gtest.h>

namespace tine::cli {
namespace {

using Words = std::vector<std::string>;

ShellFacts facts_of(std::vector<const char*> environment, std::string_view shell = "/bin/bash") {
  environment.push_back("PATH=/usr/bin");
  environment.push_back(nullptr);
  return ShellFacts::from_environment(shell, environment.data());
}

TEST(Quote, PlainValuesStayAsTheyAre) {
  for (const char* value : {"a", "A-z_0.9/+", "-x"}) EXPECT_EQ(shell_quoted(value), value);
}

TEST(Quote, EverythingElseIsPutInSingleQuotes) {
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("a b"), "'a b'");
  EXPECT_EQ(shell_quoted("~x"), "'~x'");
  EXPECT_EQ(shell_quoted("a=b"), "'a=b'");
  EXPECT_EQ(shell_quoted("a\nb"), "'a\nb'");
  EXPECT_EQ(shell_quoted("\xc3\xa6"), "'\xc3\xa6'");
}

TEST(Quote, SingleQuotesLeaveNoEmptyPairsAtTheEnds) {
  EXPECT_EQ(shell_quoted("it's"), "'it'\"'\"'s'");
  EXPECT_EQ(shell_quoted("'"), "\"'\"");
  EXPECT_EQ(shell_quoted("''"), "\"'\"''\"'\"");
  EXPECT_EQ(shell_quoted("'a"), "\"'\"'a'");
  EXPECT_EQ(shell_quoted("a'"), "'a'\"'\"");
}

TEST(Quote, LengthIsThatOfTheQuotedText) {
  for (const char* value : {"", "a", "a b", "it's", "''", "'x'"}) {
    EXPECT_EQ(quoted_length(value), shell_quoted(value).size()) << value;
  }
}

TEST(SplitSimple, UndoesQuotesAndBackslashes) {
  EXPECT_EQ(split_simple("echo 'a b' \"c d\" e\\ f ''"), (Words{"echo", "a b", "c d", "e f", ""}));
  EXPECT_EQ(split_simple(R"(a"\$\x"'\y'\\)"), (Words{R"(a$\x\y\)"}));
  EXPECT_EQ(split_simple("  a\t b "), (Words{"a", "b"}));
  EXPECT_EQ(split_simple("a#b c=d"), (Words{"a#b", "c=d"}));
}

TEST(SplitSimple, LeavesShellSyntaxToTheShell) {
  for (const char* line : {"a|b", "a;b",    "a&",      "a>b", "a<b", "$x",    "`x`",  "(a)",
                           "a*",  "a?",     "[a]",     "~",   "a=~", "{a,b}", "#c",   "a #c",
                           "!x",  "\"$x\"", "\"`x`\"", "'a",  "\"a", "a\\",   "a\nb", "a\\\nb"}) {
    EXPECT_EQ(split_simple(line), std::nullopt) << line;
  }
}

TEST(WordScanner, RefusesAValueInsideQuotes) {
  std::vector<WordScanner::Chunk> chunks;
  WordScanner scanner;
  ASSERT_TRUE(scanner.feed("echo 'a ", chunks));
  EXPECT_FALSE(scanner.feed_value());
  WordScanner escaped;
  ASSERT_TRUE(escaped.feed("echo \\", chunks));
  EXPECT_FALSE(escaped.feed_value());
}

TEST(WordScanner, RefusesACommentThatAnAbsentValueWouldStart) {
  std::vector<WordScanner::Chunk> chunks;
  WordScanner scanner;
  ASSERT_TRUE(scanner.feed("echo ", chunks));
  ASSERT_TRUE(scanner.feed_value());
  EXPECT_FALSE(scanner.feed("#x", chunks));
}

TEST(FirstWord, BuiltinsAndReservedWordsNeedTheShell) {
  auto facts = facts_of({});
  for (const char* word :
       {"cd", "if", "printf", "time", "test", "[", "{", "!", ".", "a=b", "%1", ""}) {
    EXPECT_EQ(classify(word, facts), FirstWord::shell) << word;
  }
  EXPECT_EQ(classify("gzip", facts), FirstWord::program);
  EXPECT_EQ(classify("/bin/echo", facts), FirstWord::program);
}

TEST(FirstWord, ExportedFunctionNeedsTheShell) {
  auto facts = facts_of({"BASH_FUNC_gzip%%=() { :; }"});
  EXPECT_EQ(classify("gzip", facts), FirstWord::shell);
  EXPECT_EQ(classify("bzip2", facts), FirstWord::program);
}

TEST(FirstWord, StartUpSettingsAndOtherShellsNeedTheShell) {
  for (const char* entry : {"BASH_ENV=x", "SHELLOPTS=xtrace", "BASHOPTS=xpg_echo"}) {
    EXPECT_FALSE(facts_of({entry}).predictable) << entry;
  }
  EXPECT_FALSE(facts_of({}, "/usr/bin/zsh").predictable);
  EXPECT_TRUE(facts_of({}, "/usr/bin/dash").predictable);
  EXPECT_EQ(classify("echo", facts_of({"POSIXLY_CORRECT=1"})), FirstWord::shell);
}

TEST(FirstWord, EchoRunsDirectlyOnlyWhereTheBuiltinDoesTheSame) {
  auto same = [](Words argv) { return same_as_builtin(FirstWord::echo, argv); };
  EXPECT_TRUE(same({"echo"}));
  EXPECT_TRUE(same({"echo", "a", "-e"}));
  EXPECT_TRUE(same({"echo", "-n", "a b"}));
  EXPECT_FALSE(same({"echo", "-e", "a"}));
  EXPECT_FALSE(same({"echo", "--help"}));
  EXPECT_FALSE(same({"echo", "-n", "--version"}));
  EXPECT_FALSE(same({"echo", "a\\n"}));
  EXPECT_FALSE(same_as_builtin(FirstWord::truth, {"true", "--help"}));
  EXPECT_TRUE(same_as_builtin(FirstWord::truth, {"true", "x"}));
}

}  // namespace
}  // namespace tine::cli
