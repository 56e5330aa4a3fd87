// SPDX-License-Identifier: MIT
#include "cli/template.h"

#include <gtest/gtest.h>

#include "cli/line_length.h"

namespace tine::cli {
namespace {

using Words = std::vector<std::string>;

const char* const kEnvironment[] = {"PATH=/usr/bin:/bin", nullptr};

Template parsed(const Words& words, const TemplateRules& rules = {}) {
  auto result = Template::parse(words, rules);
  if (!result) {
    ADD_FAILURE() << result.error();
    return {};
  }
  result->find_direct_form(ShellFacts::from_environment("bash", kEnvironment));
  return *std::move(result);
}

std::string line_of(const Words& words, const Words& args, const TemplateRules& rules = {}) {
  auto command = parsed(words, rules);
  std::string line;
  command.render({.args = args, .sequence = 7, .slot = 2, .total = 120, .slots = 12}, line);
  return line;
}

std::string plus(std::string_view replacement, std::string_view value) {
  TemplateRules rules{.plus = true};
  return line_of({"x", std::string(replacement)}, {std::string(value)}, rules).substr(2);
}

// The words run without a shell; empty when the shell is needed.
Words argv_of(const Words& words, const Words& args, const TemplateRules& rules = {}) {
  auto command = parsed(words, rules);
  JobValues job{.args = args};
  std::string line;
  Words argv;
  command.render(job, line);
  command.render_argv(job, line, argv);
  return argv;
}

TEST(Template, AppendsTheValueWhenThereIsNoReplacementString) {
  EXPECT_EQ(line_of({"echo", "pre"}, {"a b"}), "echo pre 'a b'");
  EXPECT_EQ(line_of({""}, {"a b"}), " 'a b'");
}

TEST(Template, EmptyTemplateIsTheValueUnquoted) { EXPECT_EQ(line_of({}, {"a | b"}), "a | b"); }

TEST(Template, NothingIsQuotedWhenTheFirstWordHoldsAReplacement) {
  EXPECT_EQ(line_of({"{} x{}"}, {"a b"}), "a b xa b");
  EXPECT_EQ(line_of({"x{}", "{}"}, {"a b"}), "xa b a b");
  EXPECT_EQ(line_of({" {}"}, {"a b"}), " 'a b'");
}

TEST(Template, PathReplacements) {
  EXPECT_EQ(line_of({"x", "{.} {/} {//} {/.}"}, {"d.x/f.tar.gz"}),
            "x d.x/f.tar f.tar.gz d.x f.tar");
  EXPECT_EQ(line_of({"x", "{.} {/} {//} {/.}"}, {"d/"}), "x d/ '' . ''");
  EXPECT_EQ(line_of({"x", "{//}"}, {"/a"}), "x /");
  EXPECT_EQ(line_of({"x", "{//}"}, {"a//b"}), "x a");
}

TEST(Template, JobFacts) {
  EXPECT_EQ(line_of({"x", "{#} {%} {1#}"}, {"a"}), "x 7 2 7");
  EXPECT_EQ(line_of({"x", "{#}/{##} {0#} {0%}"}, {"a"}, {.plus = true}), "x 7/120 007 02");
}

TEST(Template, PositionsCountFromBothEnds) {
  EXPECT_EQ(line_of({"x", "{2}{1.}{-1/}"}, {"a.b", "c/d"}), "x c/dad");
  EXPECT_EQ(line_of({"x", "[{3}]"}, {"a", "b"}), "x []");
}

TEST(Template, UnknownBracesStay) {
  EXPECT_EQ(line_of({"x", "{foo} {{}} { } {"}, {"a b"}), "x {foo} {'a b'} { } {");
  EXPECT_EQ(line_of({"x", "{..} {+/} {:2}", "{}"}, {"a"}), "x {..} {+/} {:2} a");
}

TEST(Template, PlusStringsForPaths) {
  EXPECT_EQ(plus("{..} {...} {+.} {+..} {+/} {/..}", "d/f.tar.gz"), "d/f d/f.tar.gz gz tar.gz d f");
  EXPECT_EQ(plus("{+..}", "../b"), "''");
  EXPECT_EQ(plus("{+.}", "a.b/c"), "b/c");
}

TEST(Template, PlusStringsFromTheShell) {
  EXPECT_EQ(plus("{:-none}", ""), "none");
  EXPECT_EQ(plus("{:2} {:1:3} {:9}", "abcdef"), "cdef bcd ''");
  EXPECT_EQ(plus("{%.gz} {%%.gz}", "f.tar.gz"), "f.tar f.tar");
  EXPECT_EQ(plus("{#ab} {##[a-z]*}", "abcab.x"), "cab.x .x");
  EXPECT_EQ(plus("{/ba/X} {//a/o} {/na/}", "banana"), "Xnana bonono bana");
  EXPECT_EQ(plus("{^[a-z]} {^^[a-c]} {,A} {,,[A-Z]}", "abAB"), "AbAB ABAB abAB abab");
  EXPECT_EQ(plus("{//x*/-}", "axb"), "-a--b-");
}

TEST(Template, RenamedReplacementStrings) {
  TemplateRules rules;
  rules.placeholders.value = ",,";
  rules.placeholders.no_extension = "{o}";
  EXPECT_EQ(line_of({"x", "{} ,,", "{o} {1o} {.}"}, {"a.b"}, rules), "x {} a.b a a {.}");
}

TEST(Template, HeaderNamesAreColumns) {
  TemplateRules rules{.columns = {"name", "na", "a b"}};
  EXPECT_EQ(line_of({"x", "{na} {name/} {a b.} {nope}"}, {"d/e", "v", "p.q"}, rules),
            "x v e p {nope}");
}

TEST(Template, ContextIsRepeatedOrNot) {
  TemplateRules repeat{.repeat_context = true};
  EXPECT_EQ(line_of({"x", "a{}b", "{}"}, {"1", "2"}, repeat), "x a1b a2b 1 2");
  EXPECT_EQ(line_of({"x", "a{}b", "{}"}, {"1", "2"}), "x a1 2b 1 2");
  EXPECT_EQ(line_of({"x", "{#}{} {#}"}, {"1", "2"}, repeat), "x 71 72 7");
  EXPECT_EQ(line_of({"x", "{1}x {2}y{}"}, {"1", "2"}, repeat), "x 1x 2y1 2y2");
}

TEST(Template, DashQQuotesWordsAsAWhole) {
  TemplateRules rules{.quoting = Quoting::words};
  EXPECT_EQ(line_of({"printf", "%s|%s\\n", "x y"}, {"1"}, rules), "printf '%s|%s\\n' 'x y' 1");
  EXPECT_EQ(line_of({"echo", "x{}"}, {"a b"}, rules), "echo 'xa b'");
  EXPECT_EQ(line_of({"echo", "x{}y"}, {"a", "b c"}, rules), "echo xa 'b cy'");
  rules.repeat_context = true;
  EXPECT_EQ(line_of({"echo", "x {} y", "z{}"}, {"a", "b c"}, rules),
            "echo 'x a' 'b c y' za 'zb c'");
}

TEST(Template, RefusesPerlWithAWayOut) {
  auto result = Template::parse({"echo", "{= s/a/b/ =}"}, {});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().find("not supported: the Perl expression {= s/a/b/ =}"),
            std::string::npos);
  EXPECT_FALSE(Template::parse({"echo {uniq}"}, {.plus = true}));
  EXPECT_FALSE(Template::parse({"echo {/[/x}"}, {.plus = true}));
}

TEST(DirectForm, ValuesBecomeWordsAsTheyAre) {
  EXPECT_EQ(argv_of({"gzip", "-9", "{}", "x{.}"}, {"a b.c"}),
            (Words{"gzip", "-9", "a b.c", "xa b"}));
  EXPECT_EQ(argv_of({"prog", "'a b'{}\"c\""}, {"$x"}), (Words{"prog", "a b$xc"}));
  EXPECT_EQ(argv_of({"prog", "{}"}, {""}), (Words{"prog", ""}));
}

TEST(DirectForm, AbsentValueMakesNoWord) {
  EXPECT_EQ(argv_of({"prog", "{3}", "{1}"}, {"a"}), (Words{"prog", "a"}));
}

TEST(DirectForm, SeveralValuesAreSeveralWords) {
  EXPECT_EQ(argv_of({"prog", "a{}b"}, {"1 1", "2"}), (Words{"prog", "a1 1", "2b"}));
  EXPECT_EQ(argv_of({"prog", "a{}b"}, {"1", "2"}, {.repeat_context = true}),
            (Words{"prog", "a1b", "a2b"}));
}

TEST(DirectForm, ShellSyntaxNeedsTheShell) {
  for (const char* text : {"prog {} | cat", "prog '{}'", "prog \"{}\"", "prog $x {}", "prog \\{}",
                           "A=b prog {}", "cd {}", "{}x*", "prog ~/{}"}) {
    EXPECT_TRUE(argv_of({text}, {"v"}).empty()) << text;
  }
}

TEST(DirectForm, RepeatedContextMayNotBeginInsideQuotes) {
  EXPECT_TRUE(argv_of({"prog \"c d\"{}"}, {"1", "2"}, {.repeat_context = true}).empty());
  EXPECT_TRUE(argv_of({"prog \\ #{}"}, {"1", "2"}, {.repeat_context = true}).empty());
}

TEST(DirectForm, ACommandThatIsAValueIsLookedAtEachTime) {
  EXPECT_EQ(argv_of({}, {"prog 'a b'"}), (Words{"prog", "a b"}));
  EXPECT_TRUE(argv_of({}, {"prog | cat"}).empty());
  EXPECT_TRUE(argv_of({}, {"cd x"}).empty());
  EXPECT_TRUE(argv_of({}, {""}).empty());
}

TEST(DirectForm, AValueInTheQuotedFirstWordNeedsAPathBeforeIt) {
  TemplateRules rules{.quoting = Quoting::words};
  EXPECT_EQ(argv_of({"./run-{}", "x"}, {"a"}, rules), (Words{"./run-a", "x"}));
  EXPECT_TRUE(argv_of({"run{}", "x"}, {"a"}, rules).empty());
}

TEST(DirectForm, EchoOfAnOptionNeedsTheShell) {
  EXPECT_EQ(argv_of({"echo"}, {"a"}), (Words{"echo", "a"}));
  EXPECT_TRUE(argv_of({"echo"}, {"-e"}).empty());
  EXPECT_TRUE(argv_of({"true"}, {"--help"}).empty());
}

TEST(DirectForm, QuotedTemplateIsDirect) {
  TemplateRules rules{.quoting = Quoting::words};
  EXPECT_EQ(argv_of({"prog", "a | {}", "$x"}, {"v w"}, rules), (Words{"prog", "a | v w", "$x"}));
}

TEST(LineLength, AgreesWithTheRenderedLine) {
  for (bool repeat : {false, true}) {
    auto command = parsed({"x", "a{}b", "{.} {}"}, {.repeat_context = repeat});
    LineLength length(command, {});
    Words args;
    for (const char* value : {"1", "it's", "a b.c"}) {
      args.emplace_back(value);
      std::string line;
      command.render({.args = args}, line);
      EXPECT_EQ(length.with(args, args.size() - 1), line.size()) << line;
      length.accept();
    }
  }
}

}  // namespace
}  // namespace tine::cli
