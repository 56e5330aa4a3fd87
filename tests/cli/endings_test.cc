// SPDX-License-Identifier: MIT

// How jobs end, and what is said about it: exit codes, job log, report, timeouts, retries, halt.

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;
using RunEndingsTest = CleanProcessTest;

/// Columns 7 to 9 of a job log: exit value, signal, command; sorted.
std::vector<std::string> endings_in(const std::string& path) {
  std::vector<std::string> endings;
  std::ifstream log(path);
  std::string line;
  std::getline(log, line);
  while (std::getline(log, line)) {
    std::size_t at = 0;
    for (int tab = 0; tab < 6; ++tab) at = line.find('\t', at) + 1;
    endings.push_back(line.substr(at));
  }
  std::ranges::sort(endings);
  return endings;
}

TEST_F(RunEndingsTest, JobLogTellsEveryWayOfEnding) {
  const TemporaryDirectory directory;
  const std::string log = directory / "log";
  const std::string text = directory.write("text", "no program");
  const auto end =
      end_of(tine_run({"-j1", "--joblog", log, "--timeout", "0.2", "--term-seq", "INT,5000",
                       ":::", "true", "exit 3", "kill -9 $$", "/no/such", text, "sleep 600",
                       "trap 'exit 5' INT; while :; do sleep 0.01; done"}));
  EXPECT_EQ(end.code(), 6);
  EXPECT_EQ(endings_in(log),
            (std::vector<std::string>{"-1\t0\ttrap 'exit 5' INT; while :; do sleep 0.01; done",
                                      "-1\t2\tsleep 600", "0\t0\ttrue", "0\t9\tkill -9 $$",
                                      "126\t0\t" + text, "127\t0\t/no/such", "3\t0\texit 3"}));
}

TEST_F(RunEndingsTest, JobLogHasOneLineForACommandOfSeveral) {
  const TemporaryDirectory directory;
  end_of(tine_run({"--joblog", directory / "log", "true\n: {}", ":::", "a"}));
  EXPECT_EQ(endings_in(directory / "log"), (std::vector<std::string>{"0\t0\ttrue : a"}));
}

TEST_F(RunEndingsTest, ReportHasTwentyLinesAndNoControlCharacters) {
  std::vector<std::string> words{
      "-j1",
      "printf 'one\\033[2Jtwo\\033]0;x\\007\\302\\233\\n\\377\\rlast\\n' >&2;"
      " exit {}",
      ":::"};
  for (int i = 1; i <= 50; ++i) words.push_back("1");
  const auto end = end_of(tine_run(words).err(Redirect::pipe()));
  EXPECT_EQ(end.code(), 50);
  const auto begin = end.err.find("tine run: 50 of 50 jobs failed\n");
  ASSERT_NE(begin, std::string::npos) << end.err;
  const std::string report = end.err.substr(begin);
  EXPECT_LE(std::ranges::count(report, '\n'), 20);
  EXPECT_NE(report.find("      last\n"), std::string::npos) << report;
  EXPECT_EQ(report.find('\x1b'), std::string::npos);
  EXPECT_EQ(report.find('\x07'), std::string::npos);
  EXPECT_EQ(report.find('\xc2'), std::string::npos);
  EXPECT_NE(report.find("and 44 more"), std::string::npos) << report;
}

TEST_F(RunEndingsTest, WithoutFailuresNothingElseIsMissing) {
  for (const bool listed : {true, false}) {
    std::vector<std::string> words{"-j1", "echo out; echo err >&2; exit {}", ":::", "1", "0"};
    if (!listed) words.insert(words.begin(), "--no-failures");
    const auto end = end_of(tine_run(words));
    EXPECT_EQ(end.code(), 1);
    EXPECT_EQ(end.out, "out\nout\n");
    EXPECT_EQ(end.err.find("err\nerr\n"), 0u) << end.err;
    EXPECT_EQ(end.err == "err\nerr\n", !listed) << end.err;
  }
}

TEST_F(RunEndingsTest, JobsThatTheHaltRuleEndsAreNotCounted) {
  const auto end = end_of(tine_run({"-j2", "--summary", "--bar", "--halt", "now,fail=1",
                                    "[ {} = 1 ] && exec sleep 600; exit 3", ":::", "1", "2"}));
  EXPECT_EQ(end.code(), 3);
  EXPECT_NE(end.err.find("1 of 2  1 failed  1 cancelled"), std::string::npos) << end.err;
  EXPECT_NE(end.err.find("jobs      1\nfailed    1\ncancelled 1\n"), std::string::npos) << end.err;
  EXPECT_NE(end.err.find("tine run: 1 of 1 jobs failed\n"), std::string::npos) << end.err;
}

TEST_F(RunEndingsTest, GivenTotalNeedsNoWholeInput) {
  auto run = start_alone(tine_run({"--bar", "--total-jobs", "7", "-j1", "echo"})
                             .in(Redirect::pipe())
                             .out(Redirect::pipe())
                             .err(Redirect::pipe()));
  ASSERT_EQ(::write(run.in().get(), "a\n", 2), 2);
  EXPECT_EQ(read_line(run.out()), "a");  // before the input ends
  run.in().reset();
  EXPECT_NE(read_to_end(run.err()).find("1 of 7"), std::string::npos);
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunEndingsTest, LimitsAreShownOnceAndTheRunGoesOn) {
  const auto end = end_of(tine_run({"--show-limits", "echo", ":::", "a"}));
  EXPECT_EQ(end.out.find("Longest command line used: "), 0u) << end.out;
  EXPECT_EQ(std::ranges::count(end.out, '\n'), 3);
  EXPECT_TRUE(end.out.ends_with("\na\n"));
}

TEST_F(RunEndingsTest, PlainIsWithoutTheOptionsOfTheEnvironment) {
  EXPECT_EQ(end_of(tine_run({"echo", ":::", "a"}).env("PARALLEL", "--tag")).out, "a\ta\n");
  EXPECT_EQ(end_of(tine_run({"--plain", "echo", ":::", "a"}).env("PARALLEL", "--tag")).out, "a\n");
}

TEST_F(RunEndingsTest, SummaryShowsEachSlowJobInOneLine) {
  const auto end = end_of(tine_run({"--summary", "true\n: \x1b[2J{}", ":::", "a"}));
  EXPECT_EQ(end.code(), 0);
  EXPECT_EQ(end.err.find('\x1b'), std::string::npos);
  EXPECT_EQ(end.err.find("jobs      1\n"), 0u) << end.err;
  EXPECT_NE(end.err.find("true :  [2Ja\n"), std::string::npos) << end.err;
}

TEST_F(RunEndingsTest, TimeoutEndsTheTreeAndRetriesCount) {
  const TemporaryDirectory directory;
  Pids pids(directory);
  const auto end =
      end_of(tine_run({"--timeout", "0.2", "--retries", "2",
                       "(" + pids.tell("child.$$") + " exec sleep 600) & wait; : {}", ":::", "1"}));
  EXPECT_EQ(end.code(), 1);
  EXPECT_NE(end.err.find("(2 attempts)"), std::string::npos) << end.err;
  EXPECT_EQ(files_in(directory.path()), 2u);
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    const pid_t pid = pids.of(entry.path().filename());
    EXPECT_TRUE(eventually([&] { return !is_running(pid); }));
  }
}

TEST_F(RunEndingsTest, TimeoutInPerCentOfTheMedianEndsTheSlowOne) {
  const auto end = end_of(tine_run(
      {"-j1", "--timeout", "1000%", "sleep", ":::", "0.05", "0.05", "0.05", "600", "0.05"}));
  EXPECT_EQ(end.code(), 1);
}

TEST_F(RunEndingsTest, FailedJobIsTriedAgainBeforeTheNextOne) {
  const auto end = end_of(tine_run({"-j1", "--retries", "2", "echo {}; exit {}", ":::", "1", "0"}));
  EXPECT_EQ(end.out, "1\n0\n");
}

TEST_F(RunEndingsTest, HaltNowEndsTheTreesOfTheOthersAndSoonWaitsForThem) {
  for (const std::string when : {"now", "soon"}) {
    const TemporaryDirectory directory;
    Pids pids(directory);
    const std::string job = "if [ {} = 1 ]; then (" + pids.tell("child") + " until [ -e " +
                            (directory / "go") +
                            " ]; do sleep 0.01; done) & wait; echo whole; else until [ -e " +
                            (directory / "child") + " ]; do sleep 0.01; done; exit 7; fi";
    auto run = start_alone(tine_run({"-j2", "--halt", when + ",fail=1", job, ":::", "1", "2", "3"})
                               .out(Redirect::pipe())
                               .err(Redirect::pipe()));
    const pid_t child = pids.of("child");
    EXPECT_EQ(read_line(run.err()), "tine run: This job failed:");
    if (when == "soon") directory.write("go", "");
    EXPECT_EQ(read_to_end(run.out()), when == "soon" ? "whole\n" : "");
    EXPECT_EQ(status_of(run).code(), 7) << when;
    EXPECT_TRUE(eventually([&] { return !is_running(child); }));
  }
}

TEST_F(RunEndingsTest, HaltCodesAreThoseOfGnuParallel) {
  struct Case {
    const char* halt;
    std::vector<std::string> exits;
    int code;
  };
  const Case cases[] = {{"now,done=1", {"7", "0"}, 7},
                        {"now,done=30%", {"0", "1", "0", "1", "0", "1", "0", "0", "0", "0"}, 10},
                        {"soon,success=100%", {"0", "1", "0", "3"}, 50},
                        {"never,fail=1", {"0", "3", "4"}, 2},
                        {"soon,fail=50%", {"9", "0"}, 9},
                        {"soon,fail=50%", {"9", "0", "9", "0"}, 50}};
  for (const auto& item : cases) {
    std::vector<std::string> words{"-j1", "--halt", item.halt, "exit {}", ":::"};
    words.insert(words.end(), item.exits.begin(), item.exits.end());
    EXPECT_EQ(end_of(tine_run(words)).code(), item.code) << item.halt;
  }
}

TEST_F(RunEndingsTest, TimedOutJobHaltsWith255) {
  const auto end =
      end_of(tine_run({"--halt", "now,fail=1", "--timeout", "0.1", "sleep {}", ":::", "600"}));
  EXPECT_EQ(end.code(), 255);
}

TEST_F(RunEndingsTest, FilesAreNamedWithTheirTagsAlsoBelowResults) {
  const TemporaryDirectory directory;
  const auto end = end_of(
      tine_run({"-k", "--files", "--tag", "--results", directory / "r", "echo", ":::", "a", "b"}));
  EXPECT_EQ(end.out,
            "a\t" + (directory / "r/1/a/stdout") + "\nb\t" + (directory / "r/1/b/stdout") + "\n");
  EXPECT_EQ(read_text(directory / "r/1/b/stdout"), "b\n");
}

TEST_F(RunEndingsTest, TagTextKnowsTabsAndAnEmptyOneIsNone) {
  EXPECT_EQ(end_of(tine_run({"--tagstring", "{}\\t{#}", "echo", ":::", "a"})).out, "a\t1\ta\n");
  EXPECT_EQ(end_of(tine_run({"--tagstring", "", "echo", ":::", "a"})).out, "a\n");
}

TEST_F(RunEndingsTest, RunStartedWithSigchldIgnoredEnds) {
  const auto tine = tine_run({"echo", ":::", "a"}).spec().argv;
  std::vector<std::string> words{"-c", "trap '' CHLD; exec \"$@\"", "bash"};
  words.insert(words.end(), tine.begin(), tine.end());
  const RunEnd end =
      end_of(Command{"bash"}.args(std::move(words)).timeout(std::chrono::minutes(1)));
  EXPECT_EQ(end.out, "a\n");
  EXPECT_EQ(end.code(), 0);
}

TEST_F(RunEndingsTest, ProgramWithAPathIsThatOfTheWorkingDirectory) {
  TemporaryDirectory dir;
  ASSERT_EQ(::mkdir((dir / "below").c_str(), 0700), 0);
  dir.write("x", "#!/bin/sh\necho above\n", 0755);
  dir.write("below/x", "#!/bin/sh\necho below\n", 0755);
  const RunEnd end = end_of(tine_run({"--workdir", "below", "./x", ":::", "1"}).dir(dir.path()));
  EXPECT_EQ(end.out, "below\n");
}

}  // namespace
}  // namespace tine
