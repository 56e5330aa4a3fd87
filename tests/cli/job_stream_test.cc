// SPDX-License-Identifier: MIT
#include "cli/job_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <utility>

namespace tine::cli {
namespace {

using Words = std::vector<std::string>;

// The lines of all jobs; the error, if there is one, comes last.
Words lines_of(const Words& words, int slots = 1) {
  auto command_line = parse_command_line(words);
  if (!command_line) return {"refused: " + command_line.error()};
  auto stream = JobStream::open(*command_line, {.slots = slots});
  if (!stream) return {"refused: " + stream.error()};
  Words lines;
  JobLine job;
  while (true) {
    auto pulled = stream->next(1, job);
    if (!pulled) lines.push_back("failed: " + pulled.error());
    if (!pulled || *pulled != Pull::job) return lines;
    lines.push_back(job.line);
  }
}

class FileTest : public testing::Test {
 protected:
  std::string file(const std::string& name, std::string_view content) {
    std::string path = testing::TempDir() + "tine_job_stream_" + std::to_string(getpid()) + name;
    std::ofstream(path, std::ios::binary) << content;
    paths_.push_back(path);
    return path;
  }
  ~FileTest() override {
    for (const auto& path : paths_) std::remove(path.c_str());
  }

 private:
  Words paths_;
};

TEST(Sources, EveryCombinationTheLastFastest) {
  EXPECT_EQ(lines_of({"x", ":::", "a", "b", ":::", "1", "2"}),
            (Words{"x a 1", "x a 2", "x b 1", "x b 2"}));
}

TEST(Sources, LinkPlusEndsWithTheShorter) {
  EXPECT_EQ(lines_of({"x", ":::", "a", "b", "c", ":::+", "1", "2", ":::", "X", "Y"}),
            (Words{"x a 1 X", "x a 1 Y", "x b 2 X", "x b 2 Y"}));
}

TEST(Sources, LinkWrapsTheShorterSource) {
  EXPECT_EQ(lines_of({"--link", "x", ":::", "a", "b", "c", ":::", "1", "2", ":::", "X"}),
            (Words{"x a 1 X", "x b 2 X", "x c 1 X"}));
}

TEST(Sources, EmptySourceBesideOthersIsOneEmptyValue) {
  EXPECT_EQ(lines_of({"x", ":::", ":::", "a", "b"}), (Words{"x '' a", "x '' b"}));
  EXPECT_EQ(lines_of({"x", ":::", "a", ":::"}), (Words{"x a ''"}));
  EXPECT_TRUE(lines_of({"x", ":::", ":::"}).empty());
  EXPECT_TRUE(lines_of({"x", ":::"}).empty());
}

TEST(Sources, EndOfFileStringEndsItsSource) {
  EXPECT_EQ(lines_of({"-E", "b", "x", ":::", "1", "2", ":::", "a", "b", "c"}),
            (Words{"x 1 a", "x 2 a"}));
}

TEST(Sources, ArgumentsAreCutAtTheDelimiter) {
  EXPECT_EQ(lines_of({"-d", ",", "x", ":::", "a,b", "c"}), (Words{"x a", "x b", "x c"}));
  EXPECT_EQ(lines_of({"-0", "x", ":::", "a\nb"}), (Words{"x 'a\nb'"}));
}

TEST(Sources, BlankValuesAreSkippedOnRequestAlone) {
  EXPECT_EQ(lines_of({"x", ":::", "", " "}), (Words{"x ''", "x ' '"}));
  EXPECT_EQ(lines_of({"-r", "x", ":::", "", "a", " "}), (Words{"x a"}));
}

TEST(Sources, TrimRemovesWhiteSpace) {
  EXPECT_EQ(lines_of({"--trim", "r", "x", ":::", " a "}), (Words{"x ' a'"}));
  EXPECT_EQ(lines_of({"--trim", "lr", "x", ":::", " a b "}), (Words{"x 'a b'"}));
}

TEST(Columns, AreSplitAndTrimmed) {
  EXPECT_EQ(lines_of({"-C", ",", "x", "{2}{1}", ":::", " a , b "}), (Words{"x ba"}));
  EXPECT_EQ(lines_of({"-C", "\\t", "x", "{2}", "[{3}]", ":::", "a\tb"}), (Words{"x b []"}));
  EXPECT_EQ(lines_of({"-C", "[,;]+", "x", ":::", "a,;b"}), (Words{"x a b"}));
  EXPECT_EQ(lines_of({"-C", "\\|", "x", ":::", "a|b"}), (Words{"x a b"}));
  EXPECT_EQ(lines_of({"-C", ",", "x", "{-1}", ":::", "a,b", "c"}), (Words{"x b", "x c"}));
}

TEST(Columns, BadSeparatorIsRefused) {
  EXPECT_EQ(lines_of({"-C", "[", "x", ":::", "a"}).at(0).substr(0, 21), "refused: --colsep '['");
}

TEST_F(FileTest, HeaderNamesColumns) {
  auto table = file("header", "name,qty\nfig,3\npear,7\n");
  EXPECT_EQ(lines_of({"--header", ":", "-C", ",", "x", "{qty}{name.}", "::::", table}),
            (Words{"x 3fig", "x 7pear"}));
  EXPECT_EQ(lines_of({"--header", ":", "x", "{w}{h}", ":::", "w", "1", "2", ":::", "h", "8"}),
            (Words{"x 18", "x 28"}));
}

TEST_F(FileTest, LastLineNeedsNoNewline) {
  EXPECT_EQ(lines_of({"x", "::::", file("last", "one\n\ntwo")}), (Words{"x one", "x ''", "x two"}));
}

TEST_F(FileTest, DelimiterOfSeveralBytesMayStraddleReads) {
  std::string text(70000, 'a');
  auto path = file("straddle", text + "::" + text + "::b");
  auto lines = lines_of({"-d", "::", "x", "::::", path});
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1].size(), text.size() + 2);
  EXPECT_EQ(lines[2], "x b");
  for (int shift = -2; shift <= 2; ++shift) {
    std::string first(static_cast<std::size_t>(65536 + shift), 'a');
    EXPECT_EQ(lines_of({"-d", "::", "x", "::::", file("edge", first + "::b")}).size(), 2U);
  }
}

TEST_F(FileTest, LinesJoinAfterATrailingBlank) {
  EXPECT_EQ(lines_of({"-L1", "x", "::::", file("blank", "a \nb\nc")}), (Words{"x 'a b'", "x c"}));
}

TEST_F(FileTest, NulIsReplacedAndReported) {
  auto command_line = parse_command_line({"x", "::::", file("nul", std::string_view("a\0b\n", 4))});
  auto stream = JobStream::open(*command_line, {});
  JobLine job;
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x 'a\\0b'");
  EXPECT_TRUE(stream->had_nul());
}

TEST_F(FileTest, MissingFileIsNamed) {
  auto lines = lines_of({"x", "::::", "/no/such/file"});
  EXPECT_EQ(lines.at(0),
            "refused: cannot open input file '/no/such/file': No such file or directory");
}

TEST(Batches, CountedByRecord) {
  EXPECT_EQ(lines_of({"-N2", "x", "a{}b", ":::", "1", "2", "3"}), (Words{"x a1b a2b", "x a3b"}));
  EXPECT_EQ(lines_of({"-n2", "x", "a{}b", ":::", "1", "2", "3"}), (Words{"x a1 2b", "x a3b"}));
  EXPECT_EQ(lines_of({"-N2", "x", "{1}-{3}", ":::", "1", "2", ":::", "a"}), (Words{"x 1-2"}));
}

TEST(Batches, NoneOfTheValues) {
  EXPECT_EQ(lines_of({"-n0", "x", "a{}b", "{#}", ":::", "1", "2"}), (Words{"x ab 1", "x ab 2"}));
  EXPECT_EQ(lines_of({"-N0", "x", ":::", "1"}), (Words{"x "}));
}

TEST(Batches, FilledUpToTheLength) {
  Words words{"-X", "-s", "20", "x123", ":::"};
  for (int i = 1; i <= 12; ++i) words.push_back(std::to_string(i));
  EXPECT_EQ(lines_of(words), (Words{"x123 1 2 3 4 5 6 7", "x123 8 9 10 11 12"}));
}

TEST(Filling, ExitRefusesACountThatDoesNotFit) {
  const Words words{"-s", "10", "-n3", "x", ":::", "aa", "bb", "cc", "dd"};
  EXPECT_EQ(lines_of(words), (Words{"x aa bb", "x cc dd"}));
  Words exits = words;
  exits.insert(exits.begin(), "-x");
  const Words lines = lines_of(exits);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].find("failed: command line too long"), 0U) << lines[0];
  EXPECT_EQ(lines_of({"-x", "-X", "-s", "10", "x", ":::", "aa", "bb", "cc"}),
            (Words{"x aa bb", "x cc"}));
}

TEST(Batches, TooLongIsAnErrorWithTheSizes) {
  EXPECT_EQ(lines_of({"-s", "3", "x", ":::", "abc"}).at(0).substr(0, 47),
            "failed: command line too long (5 >= 3) with the");
  EXPECT_EQ(lines_of({"-X", "-s", "3", "x", ":::", "abc"}).at(0).substr(0, 38),
            "failed: command line too long (5 >= 3)");
}

TEST(Batches, TheRestIsSpreadOverTheSlots) {
  Words ten{"-m", "x", ":::"};
  for (int i = 1; i <= 10; ++i) ten.push_back(std::to_string(i));
  EXPECT_EQ(lines_of(ten, 4), (Words{"x 1 2 3", "x 4 5 6", "x 7 8 9", "x 10"}));
  ten[0] = "--xargs";
  EXPECT_EQ(lines_of(ten, 4), (Words{"x 1 2 3 4 5 6 7 8 9 10"}));
}

TEST(Batches, SpreadBeginsAfterTheLastFullLine) {
  Words words{"-X", "-n4", "x", ":::"};
  for (int i = 1; i <= 9; ++i) words.push_back(std::to_string(i));
  EXPECT_EQ(lines_of(words, 3), (Words{"x 1 2 3 4", "x 5 6 7 8", "x 9"}));
  words.pop_back();
  EXPECT_EQ(lines_of(words, 3), (Words{"x 1 2 3 4", "x 5 6", "x 7 8"}));
}

TEST(Jobs, TotalIsKnownBeforeTheFirstJobWhenTheTemplateAsks) {
  EXPECT_EQ(lines_of({"--plus", "-N2", "x", "{#}/{##}", ":::", "a", "b", "c"}),
            (Words{"x 1/2", "x 2/2"}));
}

TEST(Jobs, TotalIsTheGivenOne) {
  EXPECT_EQ(lines_of({"--plus", "--total-jobs", "70", "x", "{#}/{##}", ":::", "a", "b"}),
            (Words{"x 1/70", "x 2/70"}));
  EXPECT_EQ(lines_of({"--plus", "--total-jobs", "0", "x", "{##}", ":::", "a"}), (Words{"x 1"}));
}

TEST(Jobs, GatherTellsTheTotal) {
  auto command_line = parse_command_line({"x", ":::", "a", "b", "c"});
  auto stream = JobStream::open(*command_line, {});
  EXPECT_EQ(stream->total(), std::nullopt);
  ASSERT_EQ(stream->gather(), Pull::end);
  EXPECT_EQ(stream->total(), 3U);
  JobLine job;
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x a");
  EXPECT_EQ(stream->total(), 3U);
}

TEST(Jobs, ShuffleKeepsTheSet) {
  auto lines = lines_of({"--shuf", "x", ":::", "1", "2", "3", ":::", "a", "b"});
  std::ranges::sort(lines);
  EXPECT_EQ(lines, (Words{"x 1 a", "x 1 b", "x 2 a", "x 2 b", "x 3 a", "x 3 b"}));
}

JobLine first_job(const Words& words) {
  auto command_line = parse_command_line(words);
  auto stream = JobStream::open(*command_line, {});
  JobLine job;
  EXPECT_EQ(stream->next(3, job), Pull::job);
  return job;
}

TEST(Jobs, TagIsTheValuesOrTheString) {
  EXPECT_EQ(first_job({"--tag", "x", ":::", "a b", ":::", "c"}).tag, "a b c");
  EXPECT_EQ(first_job({"--tag", "-N0", "x", ":::", "a"}).tag, "");
  EXPECT_EQ(first_job({"--tagstring", "{2}-{1.}-{%}$", "x", ":::", "a.b", ":::", "c d"}).tag,
            "c d-a-3$");
}

TEST(Jobs, ResultsTree) {
  auto results = [](Words words) {
    words.insert(words.begin(), "--results");
    return first_job(words).results;
  };
  EXPECT_EQ(results({"out", "x", ":::", "a/b", ":::", "c\\d"}), "out/1/a\\_b/2/c\\\\d/");
  EXPECT_EQ(results({"out/", "-N2", "x", ":::", "a", "b"}), "out/1/a/1/b/");
  EXPECT_EQ(results({"out", "-N0", "x", ":::", "a"}), "out/1/\\0noarg/");
  EXPECT_EQ(results({"out", "--header", ":", "x", ":::", "h", "1", ":::", "g", "2"}),
            "out/g/2/h/1/");
  EXPECT_EQ(results({"r_{}", "x", ":::", "a b"}), "r_a b");
  EXPECT_EQ(results({"r_{#}/", "x", ":::", "a"}), "r_1/");
  EXPECT_EQ(results({"r_{}.csv", "x", ":::", "a"}), "");
}

TEST(Jobs, ShellOptionsAreObeyed) {
  EXPECT_FALSE(first_job({"/bin/x", ":::", "a"}).argv.empty());
  EXPECT_TRUE(first_job({"--shell", "/bin/x", ":::", "a"}).argv.empty());
  EXPECT_EQ(lines_of({"--no-shell", "x {} | y", ":::", "a"}).at(0).substr(0, 19),
            "refused: --no-shell");
  EXPECT_EQ(lines_of({"--no-shell", ":::", "x | y"}).at(0).substr(0, 18), "failed: --no-shell");
}

TEST(Jobs, ShellQuoteQuotesTheWholeLine) {
  EXPECT_EQ(quoted_times("a b", 1), "'a b'");
  EXPECT_EQ(quoted_times("a b", 2), "\"'\"'a b'\"'\"");
}

// A pipe with nothing in it, read through /dev/fd.
class PipeTest : public testing::Test {
 protected:
  PipeTest() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
  ~PipeTest() override {
    close(ends_[0]);
    if (ends_[1] >= 0) close(ends_[1]);
  }
  std::string path() const { return "/dev/fd/" + std::to_string(ends_[0]); }
  void write_text(std::string_view text) {
    EXPECT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void end() { close(std::exchange(ends_[1], -1)); }

 private:
  int ends_[2] = {-1, -1};
};

TEST_F(PipeTest, NothingYetIsNoReasonToWait) {
  auto command_line = parse_command_line({"-N2", "x", "::::", path()});
  auto stream = JobStream::open(*command_line, {});
  JobLine job;
  EXPECT_EQ(stream->next(1, job), Pull::would_block);
  EXPECT_GE(stream->wait_fd(), 0);
  write_text("a\nb");
  EXPECT_EQ(stream->next(1, job), Pull::would_block);
  write_text("c\n");
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x a bc");
  write_text("d");
  EXPECT_EQ(stream->next(1, job), Pull::would_block);
  end();
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x d");
  EXPECT_EQ(stream->next(1, job), Pull::end);
  EXPECT_EQ(stream->total(), 2U);
}

TEST_F(PipeTest, LinkedSourcesKeepWhatWasReadWhileOneIsSlow) {
  auto command_line = parse_command_line({"x", ":::", "1", "2", "::::+", path()});
  auto stream = JobStream::open(*command_line, {});
  JobLine job;
  EXPECT_EQ(stream->next(1, job), Pull::would_block);
  write_text("a\n");
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x 1 a");
  end();
  EXPECT_EQ(stream->next(1, job), Pull::end);
}

TEST_F(PipeTest, ProductWaitsForTheSlowSourceAlone) {
  auto command_line = parse_command_line({"x", ":::", "1", "2", "::::", path()});
  auto stream = JobStream::open(*command_line, {});
  JobLine job;
  write_text("a\n");
  EXPECT_EQ(stream->next(1, job), Pull::would_block);
  end();
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x 1 a");
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x 2 a");
}

TEST_F(PipeTest, SpreadWaitsUntilTheEndIsKnown) {
  auto command_line = parse_command_line({"-X", "-n2", "x", "::::", path()});
  auto stream = JobStream::open(*command_line, {.slots = 2});
  JobLine job;
  write_text("a\nb\n");
  EXPECT_EQ(stream->next(1, job), Pull::would_block);
  end();
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x a");
}

TEST_F(PipeTest, HeaderMayComeLate) {
  auto command_line = parse_command_line({"--header", ":", "x", "{h}", "::::", path()});
  auto stream = JobStream::open(*command_line, {});
  JobLine job;
  EXPECT_EQ(stream->next(1, job), Pull::would_block);
  write_text("h\n5\n");
  ASSERT_EQ(stream->next(1, job), Pull::job);
  EXPECT_EQ(job.line, "x 5");
}

}  // namespace
}  // namespace tine::cli
