// SPDX-License-Identifier: MIT

// Input that nobody wishes for: odd bytes, huge values, unreadable files, mad options.

#include <random>

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;
using RunInputTest = CleanProcessTest;

TEST_F(RunInputTest, InvalidUtf8AndControlCharactersReachTheJobAsTheyAre) {
  const std::string value = "\xff\xfe\x01\x7f\x1b[2J '\"\\$`";
  for (const char* job : {"printf %s", "printf %s {};"}) {
    EXPECT_EQ(end_of(tine_run({job}).input(value + "\n")).out, value) << job;
  }
}

TEST_F(RunInputTest, NulInsideALineBecomesTwoCharacters) {
  const auto end = end_of(tine_run({"printf %s"}).input(std::string("a\0b\n", 4)));
  EXPECT_EQ(end.out, "a\\0b");
  EXPECT_EQ(end.err,
            "tine run: the input holds NULs, which became \\0 in values; -0 ends values at them\n");
}

TEST_F(RunInputTest, ValueTooLongForAProgramCostsOnlyItsOwnJob) {
  const std::string input = "1\n" + std::string(1 << 20, 'x') + "\n2\n";
  const auto end = end_of(tine_run({"-k", "-j1", "echo"}).input(input));
  EXPECT_EQ(end.out, "1\n2\n");
  EXPECT_EQ(end.code(), 1);
  EXPECT_NE(end.err.find("Argument list too long"), std::string::npos);
  EXPECT_LT(end.err.size(), 2000u);
}

TEST_F(RunInputTest, ValueTooLongForALineOfTheShellIsAClearError) {
  const std::string input = "1\n" + std::string(1 << 20, 'x') + "\n2\n";
  const auto end = end_of(tine_run({"-k", "-j1", "echo; echo"}).input(input));
  EXPECT_EQ(end.code(), 255);
  EXPECT_EQ(end.out, "\n1\n");
  EXPECT_NE(end.err.find("command line too long (1048587 >= 131071)"), std::string::npos);
  EXPECT_LT(end.err.size(), 2000u);
}

TEST_F(RunInputTest, LongLineIsCutAtARegularExpressionLikeAShortOne) {
  const std::string value(300'000, 'x');
  for (const char* separator : {"[,;]+", "x+$|,"}) {
    const auto end = end_of(
        tine_run({"-C", separator, "--dry-run", "echo {2}"}).input("a,b," + value + "\na,c\n"));
    EXPECT_EQ(end.out, "echo b\necho c\n") << end.err;
  }
}

TEST_F(RunInputTest, EmptyInputIsNoJob) {
  const auto end = end_of(tine_run({"echo x"}));
  EXPECT_EQ(end.code(), 0);
  EXPECT_EQ(end.out, "");
}

TEST_F(RunInputTest, InputThatCannotBeReadIsNamed) {
  const TemporaryDirectory directory;
  const auto absent = end_of(tine_run({"-a", directory / "absent", "echo"}));
  EXPECT_EQ(absent.code(), 255);
  EXPECT_NE(absent.err.find("absent': No such file or directory"), std::string::npos);
  const auto folder = end_of(tine_run({"-a", directory.path(), "echo"}));
  EXPECT_EQ(folder.code(), 255);
  EXPECT_NE(folder.err.find(directory.path() + "': Is a directory"), std::string::npos);
}

TEST_F(RunInputTest, HundredThousandWordsAreAsManyValues) {
  std::vector<std::string> words{"-X", "-j2", "-k", "echo", ":::"};
  for (int i = 0; i < 100'000; ++i) words.push_back(std::to_string(i));
  const auto end = end_of(tine_run(std::move(words)));
  EXPECT_EQ(end.code(), 0);
  std::string joined = end.out;
  for (char& c : joined) c = c == '\n' ? ' ' : c;
  EXPECT_EQ(joined.size(), 588'890u);
  EXPECT_EQ(joined.substr(0, 8), "0 1 2 3 ");
}

TEST_F(RunInputTest, RandomOptionsAndTemplatesNeverCrash) {
  const TemporaryDirectory directory;
  std::mt19937 random(20221122);  // the same ones each time
  static const std::string kPieces[] = {"-j",
                                        "-k",
                                        "-X",
                                        "-m",
                                        "-N",
                                        "-L",
                                        "-d",
                                        "-0",
                                        "-a",
                                        "-C",
                                        "--tag",
                                        "--tagstring",
                                        "--halt",
                                        "--timeout",
                                        "--plus",
                                        "--header",
                                        ":",
                                        "--link",
                                        ":::",
                                        "::::",
                                        ":::+",
                                        "::::+",
                                        "{}",
                                        "{.}",
                                        "{1}",
                                        "{-3}",
                                        "{2/.}",
                                        "{%",
                                        "{#a}",
                                        "{:1:2}",
                                        "{/a/b}",
                                        "{=",
                                        "=}",
                                        "-I",
                                        "--arg-sep",
                                        "--trim",
                                        "--colsep",
                                        "--rpl",
                                        "\\",
                                        "'",
                                        "\"",
                                        "$(",
                                        "`",
                                        "&&",
                                        "|",
                                        "",
                                        "-",
                                        "--",
                                        "now,fail=1",
                                        "999999999999",
                                        "0",
                                        "-1",
                                        "50%",
                                        "\xff",
                                        "\n",
                                        "/dev/null",
                                        "--shellquote",
                                        "-q",
                                        "-s",
                                        "-E",
                                        "--results",
                                        "{"};
  for (int i = 0; i < 150; ++i) {
    std::vector<std::string> words{"--dry-run"};
    const std::size_t count = random() % 8;
    for (std::size_t n = 0; n < count; ++n) {
      std::string word = kPieces[random() % std::size(kPieces)];
      if (random() % 3 == 0) word += kPieces[random() % std::size(kPieces)];
      if (random() % 4 == 0) word += static_cast<char>(1 + random() % 255);
      words.push_back(std::move(word));
    }
    const auto end = end_of(tine_run(words).dir(directory.path()).input("a\nb\n"));
    std::string shown;
    for (const auto& word : words) shown += "[" + word + "]";
    EXPECT_GE(end.code(), 0) << shown;
    EXPECT_EQ(end.err.find("the runner was"), std::string::npos) << shown << end.err;
  }
}

}  // namespace
}  // namespace tine
