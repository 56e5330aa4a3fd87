// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "cli/option_table.h"
#include "cli/option_values.h"

namespace tine::cli {
namespace {

using Words = std::vector<std::string>;

CommandLine accepted(Words words) {
  auto parsed = parse_command_line(std::move(words));
  if (!parsed) {
    ADD_FAILURE() << parsed.error();
    return {};
  }
  return *std::move(parsed);
}

std::string refusal(Words words) {
  auto parsed = parse_command_line(std::move(words));
  return parsed ? "accepted" : parsed.error();
}

TEST(CommandLineTest, OptionsEndAtTheFirstWord) {
  auto line = accepted({"-k", "echo", "-j", "x", ":::", "-k", "--"});
  EXPECT_TRUE(line.options.keep_order);
  EXPECT_EQ(line.words, (Words{"echo", "-j", "x"}));
  ASSERT_EQ(line.sources.size(), 1U);
  EXPECT_EQ(line.sources[0].arguments, (Words{"-k", "--"}));
}

TEST(CommandLineTest, DoubleDashEndsTheOptions) {
  EXPECT_EQ(accepted({"-k", "--", "-x", ":::", "a"}).words, (Words{"-x"}));
}

TEST(CommandLineTest, SourcesKeepTheirOrder) {
  auto line =
      accepted({"-a", "f", "echo", ":::", "a", ":::+", "b", "::::", "g", "-", "::::+", "h"});
  ASSERT_EQ(line.sources.size(), 6U);
  EXPECT_EQ(line.sources[0].path, "f");
  EXPECT_EQ(line.sources[1].arguments, (Words{"a"}));
  EXPECT_TRUE(line.sources[2].linked);
  EXPECT_EQ(line.sources[4].path, "-");
  EXPECT_FALSE(line.sources[4].linked);
  EXPECT_TRUE(line.sources[5].linked);
}

TEST(CommandLineTest, StandardInputIsTheSourceWhenNoneIsNamed) {
  auto line = accepted({"echo"});
  EXPECT_TRUE(line.stdin_by_default);
  EXPECT_EQ(line.sources.at(0).path, "-");
  EXPECT_FALSE(accepted({"echo", ":::"}).stdin_by_default);
  EXPECT_FALSE(accepted({"echo", "::::"}).stdin_by_default);
}

TEST(CommandLineTest, SeparatorsCanBeChanged) {
  auto line =
      accepted({"--arg-sep", ",,", "--arg-file-sep=@@", "echo", ":::", ",,", "a", "@@", "f"});
  EXPECT_EQ(line.words, (Words{"echo", ":::"}));
  EXPECT_EQ(line.sources.at(1).path, "f");
}

TEST(CommandLineTest, ValuesMayBeJoinedSeparateOrNegative) {
  for (Words words : {Words{"-j2"}, Words{"-j", "2"}, Words{"--jobs=2"}, Words{"--jobs", "2"},
                      Words{"-kj2"}, Words{"-P2"}, Words{"--max-procs=2"}, Words{"--max-proc=2"}}) {
    auto jobs = accepted(words).options.jobs;
    EXPECT_EQ(jobs.kind, JobCount::Kind::number);
    EXPECT_EQ(jobs.value, 2);
  }
  EXPECT_EQ(accepted({"-j", "-1"}).options.jobs.value, -1);
  EXPECT_EQ(accepted({"--halt", "-2"}).options.halt.what, Halt::What::success);
}

TEST(CommandLineTest, OptionalValuesMayBeTheNextWord) {
  EXPECT_EQ(accepted({"-i", "@@", "echo"}).options.placeholders.value, "@@");
  EXPECT_EQ(accepted({"-i", "-k", "echo"}).options.placeholders.value, "{}");
  EXPECT_EQ(accepted({"-l", "2", "echo"}).options.max_lines, 2U);
  auto line = accepted({"-l", "echo"});
  EXPECT_EQ(line.options.max_lines, 1U);
  EXPECT_EQ(line.words, (Words{"echo"}));
  EXPECT_FALSE(accepted({"-E", "x", "-e", "-k"}).options.end_of_file);
}

TEST(CommandLineTest, BatchOptionsSayHowContextIsTreated) {
  EXPECT_TRUE(accepted({"-X"}).options.repeat_context);
  EXPECT_TRUE(accepted({"-N2"}).options.repeat_context);
  EXPECT_TRUE(accepted({"-L2"}).options.repeat_context);
  EXPECT_FALSE(accepted({"-L2", "-m"}).options.repeat_context);
  EXPECT_FALSE(accepted({"-l2"}).options.repeat_context);
  EXPECT_FALSE(accepted({"-n2"}).options.repeat_context);
}

TEST(CommandLineTest, JobLogMayAppend) {
  auto options = accepted({"--joblog", "+log"}).options;
  EXPECT_TRUE(options.append_job_log);
  EXPECT_EQ(options.job_log, "log");
}

TEST(CommandLineTest, CourtesyOptionsAreIgnored) {
  EXPECT_EQ(accepted({"--will-cite", "--no-notice", "--gnu", "echo"}).words, (Words{"echo"}));
}

TEST(Refusals, UnknownOptionNamesItsNeighbours) {
  EXPECT_EQ(refusal({"--jbos", "3"}), "unknown option: --jbos; did you mean --jobs?");
  EXPECT_EQ(refusal({"-y"}), "unknown option: -y; --help lists the options");
  EXPECT_EQ(refusal({"--nosuchoption"}),
            "unknown option: --nosuchoption; --help lists the options");
}

TEST(Refusals, AmbiguousPrefixListsTheChoices) {
  std::string text = refusal({"--ta"});
  EXPECT_NE(text.find("ambiguous"), std::string::npos) << text;
  EXPECT_NE(text.find("--tagstring"), std::string::npos) << text;
}

TEST(Refusals, SuggestionsAreSupported) {
  for (const auto& option : unsupported_options()) {
    std::string name(option.names.substr(0, option.names.find(' ')));
    if (name.size() < 3) continue;
    std::swap(name[1], name[2]);
    const std::string text = refusal({"--" + name});
    const auto at = text.find("did you mean ");
    if (at == std::string::npos) continue;
    std::string suggested = text.substr(at + 13);
    suggested = suggested.substr(0, suggested.find_first_of(" ?"));
    EXPECT_EQ(refusal({suggested + "=x"}).find("not supported"), std::string::npos) << text;
  }
  EXPECT_EQ(refusal({"--grup"}), "unknown option: --grup; did you mean --group?");
  EXPECT_EQ(refusal({"--comp"}), "not supported yet: --comp");
  EXPECT_EQ(refusal({"--retr"}).find("retry-failed"), std::string::npos);
}

TEST(Refusals, MissingAndSuperfluousValues) {
  EXPECT_EQ(refusal({"--joblog"}), "option --joblog needs a value");
  EXPECT_EQ(refusal({"-j"}), "option -j needs a value");
  EXPECT_EQ(refusal({"--keep-order=3"}), "option --keep-order takes no value");
}

TEST(Refusals, KnownButUnsupportedOptionsSaySo) {
  EXPECT_EQ(refusal({"--pipe", "cat"}), "not supported yet: --pipe");
  EXPECT_EQ(refusal({"-S", "host"}), "not supported yet: -S");
  EXPECT_EQ(refusal({"--spreadstdin"}), "not supported yet: --spreadstdin");
  EXPECT_NE(refusal({"--rpl", "{x} s/a/b/"}).find("Perl"), std::string::npos);
}

TEST(Refusals, BadValuesSayWhatIsAccepted) {
  EXPECT_NE(refusal({"--halt", "nonsense"}).find("--halt: 'nonsense' is not accepted; give never"),
            std::string::npos);
  EXPECT_NE(refusal({"-j", "no/such/file"}).find("-j: 'no/such/file'"), std::string::npos);
  EXPECT_NE(refusal({"--trim", "x"}).find("lr"), std::string::npos);
  EXPECT_NE(refusal({"--workdir", "..."}).find("not supported"), std::string::npos);
  EXPECT_NE(refusal({"--delay", "3auto"}).find("not supported"), std::string::npos);
  EXPECT_NE(refusal({"-I", ""}), "accepted");
}

TEST(OptionTable, NoSpellingIsGivenTwice) {
  std::vector<std::string> seen;
  auto add = [&](std::string_view names) {
    std::string all = " " + std::string(names) + " ";
    for (std::size_t at = 1; at < all.size();) {
      std::size_t end = all.find(' ', at);
      std::string name = all.substr(at, end - at);
      EXPECT_EQ(std::ranges::count(seen, name), 0) << name;
      seen.push_back(name);
      at = end + 1;
    }
  };
  for (const auto& group : option_groups()) {
    for (const auto& entry : group.entries) add(entry.names);
  }
  for (const auto& option : unsupported_options()) add(option.names);
}

TEST(Help, ListsEveryOptionThatHasAText) {
  std::string help = help_text();
  for (const auto& group : option_groups()) {
    EXPECT_NE(help.find(group.title), std::string::npos);
    for (const auto& entry : group.entries) {
      if (entry.help.empty()) continue;
      auto first = std::string(entry.names.substr(0, entry.names.find(' ')));
      EXPECT_NE(help.find((first.size() == 1 ? " -" : " --") + first), std::string::npos) << first;
    }
  }
}

TEST(Help, NamesWhatIsNotSupported) {
  const std::string help = help_text();
  const auto begin = help.find("Not supported yet");
  ASSERT_NE(begin, std::string::npos);
  for (const char* name : {"--pipe", "--sshlogin", "--resume", "--semaphore", "--rpl"}) {
    EXPECT_NE(help.find(name, begin), std::string::npos) << name;
  }
  EXPECT_EQ(help.find("--_parset"), std::string::npos);
}

TEST(Help, StaysWithinTheWidth) {
  std::string help = help_text();
  for (std::size_t at = 0; at < help.size();) {
    std::size_t end = help.find('\n', at);
    EXPECT_LE(end - at, 100U) << help.substr(at, end - at);
    at = end + 1;
  }
}

TEST(ValuesTest, Halt) {
  auto halt = parse_halt("soon,done=30%");
  ASSERT_TRUE(halt);
  EXPECT_EQ(halt->when, Halt::When::soon);
  EXPECT_EQ(halt->what, Halt::What::done);
  EXPECT_EQ(halt->percent, 30);
  EXPECT_EQ(parse_halt("now,fail=3")->count, 3U);
  EXPECT_EQ(parse_halt("2")->when, Halt::When::now);
  EXPECT_EQ(parse_halt("50%")->when, Halt::When::soon);
  EXPECT_EQ(parse_halt("never")->when, Halt::When::never);
  for (const char* bad : {"", "now", "soon,", "now,fail", "now,fail=0", "now,fail=x",
                          "later,fail=1", "now,fail=1.5", "now,fail=101%", "3"}) {
    EXPECT_FALSE(parse_halt(bad)) << bad;
  }
}

TEST(ValuesTest, Durations) {
  EXPECT_EQ(parse_duration("1.5")->count(), 1.5);
  EXPECT_EQ(parse_duration("0.01m")->count(), 0.6);
  EXPECT_DOUBLE_EQ(parse_duration("1d3.5h16.6m4s")->count(), 86400 + 12600 + 996 + 4);
  for (const char* bad : {"", "x", "1x", "-1", "1h2x", "1e3"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(parse_timeout("200%")->percent, 200);
}

TEST(ValuesTest, CountsTakeUnits) {
  EXPECT_EQ(parse_count("10"), 10U);
  EXPECT_EQ(parse_count("2k"), 2000U);
  EXPECT_EQ(parse_count("2K"), 2048U);
  EXPECT_EQ(parse_count("1.5M"), 1572864U);
  for (const char* bad : {"", "x", "-1", "1.5", "2kk"}) EXPECT_FALSE(parse_count(bad)) << bad;
}

TEST(ValuesTest, Jobs) {
  EXPECT_EQ(parse_jobs("0")->kind, JobCount::Kind::unlimited);
  EXPECT_EQ(parse_jobs("+2")->kind, JobCount::Kind::add);
  EXPECT_EQ(parse_jobs("150%")->value, 150);
  EXPECT_EQ(parse_jobs("/dev/null")->kind, JobCount::Kind::file);
  for (const char* bad : {"", "1.5", "+50%", "x"}) EXPECT_FALSE(parse_jobs(bad)) << bad;
}

TEST(ValuesTest, TermSequence) {
  auto steps = parse_term_sequence("INT,1000,SIGKILL,25,9");
  ASSERT_TRUE(steps);
  ASSERT_EQ(steps->size(), 3U);
  EXPECT_EQ((*steps)[0].signal, Signal::interrupt);
  EXPECT_EQ((*steps)[0].pause.count(), 1000);
  EXPECT_EQ((*steps)[2].signal, Signal::kill);
  EXPECT_FALSE(parse_term_sequence("NOPE,1"));
  EXPECT_FALSE(parse_term_sequence("TERM,x"));
}

TEST(ValuesTest, DelimitersKnowEscapes) {
  EXPECT_EQ(parse_delimiter("\\t"), "\t");
  EXPECT_EQ(parse_delimiter("\\0"), std::string(1, '\0'));
  EXPECT_EQ(parse_delimiter("\\054\\x2c,"), ",,,");
  EXPECT_EQ(parse_delimiter("\\\\::"), "\\::");
  EXPECT_FALSE(parse_delimiter(""));
}

TEST(EnvironmentOptions, AreSplitAsAShellWould) {
  EXPECT_EQ(split_environment_options("-k --tagstring 'a b' \"c d\"e f\\ g"),
            (Words{"-k", "--tagstring", "a b", "c de", "f g"}));
  EXPECT_TRUE(split_environment_options("  ").empty());
  EXPECT_EQ(split_environment_options("-I ''"), (Words{"-I", ""}));
}

}  // namespace
}  // namespace tine::cli
