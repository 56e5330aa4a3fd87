// SPDX-License-Identifier: MIT

// What comes in and goes out while a run goes on: order, tags, lines, blocks.

#include <sys/stat.h>

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;
using RunStreamingTest = CleanProcessTest;

void put(const Fd& to, const std::string& text) {
  ASSERT_EQ(::write(to.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

TEST_F(RunStreamingTest, JobStartsAndItsOutputAppearsWhileStdinStaysOpen) {
  for (const char* mode : {"--group", "-k", "--lb", "-u"}) {
    auto run = start_alone(
        tine_run({"-j2", mode, "echo got {}"}).in(Redirect::pipe()).out(Redirect::pipe()));
    put(run.in(), "one\n");
    EXPECT_EQ(read_line(run.out()), "got one") << mode;
    put(run.in(), "tw");
    put(run.in(), "o\nthree");
    EXPECT_EQ(read_line(run.out()), "got two") << mode;
    run.in().reset();
    EXPECT_EQ(read_line(run.out()), "got three") << mode;
    EXPECT_EQ(status_of(run).code(), 0);
  }
}

TEST_F(RunStreamingTest, LinesOfARunningJobAppearAtOnceWithLineBuffer) {
  const TemporaryDirectory directory;
  auto run = start_alone(tine_run({"--lb", "--tag",
                                   "printf 'first\\npart'; until [ -e " + (directory / "go") +
                                       " ]; do sleep 0.01; done; echo ly; printf end",
                                   ":::", "x"})
                             .out(Redirect::pipe()));
  EXPECT_EQ(read_line(run.out()), "x\tfirst");
  directory.write("go", "");
  EXPECT_EQ(read_to_end(run.out()), "x\tpartly\nx\tend");
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunStreamingTest, SlowFirstJobAndAThousandFastOnesKeepTheirOrder) {
  const TemporaryDirectory directory;
  std::string expected;
  std::string input;
  for (int i = 1; i <= 1000; ++i) input += std::to_string(i) + "\n";
  for (const char* lines : {"--group", "--lb"}) {
    const auto end =
        end_of(tine_run({"-k", lines, "-j4",
                         "if [ {} = 1 ]; then until [ -e " + (directory / "100") +
                             " ]; do sleep 0.01; done; fi; : >" + (directory / "{}") + "; echo {}"})
                   .input(input));
    EXPECT_EQ(end.out, input) << lines;
    EXPECT_EQ(end.code(), 0);
    std::filesystem::remove(directory / "100");
  }
}

TEST_F(RunStreamingTest, RetriedFirstJobIsNotHeldUpByWhatWaitsForIt) {
  const TemporaryDirectory directory;
  std::string input;
  for (int i = 1; i <= 600; ++i) input += std::to_string(i) + "\n";
  const auto end = end_of(
      tine_run({"-k", "-j2", "--retries", "2",
                "if [ {} = 1 ] && [ ! -e " + (directory / "again") + " ]; then until [ -e " +
                    (directory / "250") + " ]; do sleep 0.01; done; : >" + (directory / "again") +
                    "; exit 1; fi; : >" + (directory / "{}") + "; echo {}"})
          .input(input));
  EXPECT_EQ(end.out, input);
  EXPECT_EQ(end.code(), 0);
}

TEST_F(RunStreamingTest, TagStandsOnceBeforeALineThatSpansBlocks) {
  const auto end = end_of(tine_run(
      {"-k", "--tag", "head -c 70000 /dev/zero | tr '\\0' {}; echo; echo {}", ":::", "a", "b"}));
  EXPECT_EQ(end.out,
            "a\t" + std::string(70000, 'a') + "\na\ta\nb\t" + std::string(70000, 'b') + "\nb\tb\n");
}

TEST_F(RunStreamingTest, LinesOfAMebibyteAreNotCut) {
  for (const char* mode : {"--group", "--lb"}) {
    const auto end = end_of(
        tine_run({"-k", mode, "head -c 3000000 /dev/zero | tr '\\0' {}; echo", ":::", "a", "b"}));
    EXPECT_EQ(end.out.size(), 2 * 3000001u) << mode;
    EXPECT_EQ(end.out, std::string(3000000, 'a') + "\n" + std::string(3000000, 'b') + "\n") << mode;
  }
}

TEST_F(RunStreamingTest, BytesPassAsTheyAre) {
  const TemporaryDirectory directory;
  std::string bytes;
  for (int i = 0; i < 300000; ++i) bytes += static_cast<char>(i * 7919 >> 3);
  directory.write("bytes", bytes);
  for (const char* mode : {"--group", "--lb", "-u"}) {
    EXPECT_EQ(end_of(tine_run({mode, "cat", ":::", directory / "bytes"})).out, bytes) << mode;
  }
}

TEST_F(RunStreamingTest, CommandLineStandsBeforeItsOutputWithLinesInOrder) {
  const auto end = end_of(tine_run({"-k", "--lb", "-v", "-j2", "echo", ":::", "a", "b", "c"}));
  EXPECT_EQ(end.out, "echo a\na\necho b\nb\necho c\nc\n");
}

TEST_F(RunStreamingTest, NamedPipeAsInputIsReadAsItIsWritten) {
  const TemporaryDirectory directory;
  const std::string path = directory / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  auto run = start_alone(tine_run({"-a", path, "echo"}).out(Redirect::pipe()));
  Fd writer{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  put(writer, "1\n");
  EXPECT_EQ(read_line(run.out()), "1");
  put(writer, "2\n");
  writer.reset();
  EXPECT_EQ(read_to_end(run.out()), "2\n");
  EXPECT_EQ(status_of(run).code(), 0);
}

}  // namespace
}  // namespace tine
