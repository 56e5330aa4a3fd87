// SPDX-License-Identifier: MIT

// What a job is given (descriptors, signals, limits, environment), and what happens when the system
// gives no more.

#include <sys/resource.h>

#include <algorithm>

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;
using RunLimitsTest = CleanProcessTest;

TEST_F(RunLimitsTest, JobHasTheStandardDescriptorsAlone) {
  const TemporaryDirectory directory;
  for (const char* mode : {"--group", "--lb", "-u", "-k"}) {
    const auto end =
        end_of(tine_run({"-j4", mode, "--joblog", directory / "log",
                         child_program("print_fds") + " #", ":::", "1", "2", "3", "4"}));
    EXPECT_EQ(end.out, "0 1 2\n0 1 2\n0 1 2\n0 1 2\n") << mode;
  }
}

TEST_F(RunLimitsTest, JobHasNoSignalBlockedOrIgnored) {
  const auto end = end_of(tine_run({child_program("print_signals") + "; : {}", ":::", "1"}));
  EXPECT_EQ(end.out, "blocked:\nignored:\nhandled:\n");
  const auto direct = end_of(tine_run({child_program("print_signals"), ":::", "1"}));
  EXPECT_EQ(direct.out, "blocked:\nignored:\nhandled:\n");
}

TEST_F(RunLimitsTest, JobHasTheLimitsThatTheCommandWasStartedWith) {
  const auto end =
      end_of(tine_run({"ulimit -Sn; ulimit -Hn; : {}", ":::", "1"}).limit(RLIMIT_NOFILE, 123, 456));
  EXPECT_EQ(end.out, "123\n456\n");
}

TEST_F(RunLimitsTest, JobKnowsItsNumberItsSlotAndItsRun) {
  auto run =
      start_alone(tine_run({"-j1", "-k", "echo $PARALLEL_SEQ $PARALLEL_JOBSLOT $PARALLEL_PID; : {}",
                            ":::", "1", "2"})
                      .out(Redirect::pipe()));
  const std::string pid = std::to_string(run.pid());
  EXPECT_EQ(read_to_end(run.out()), "1 1 " + pid + "\n2 1 " + pid + "\n");
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunLimitsTest, SlotsOfJobsThatRunAtOnceDiffer) {
  const TemporaryDirectory directory;
  const std::string all =
      "until [ $(ls " + directory.path() + " | wc -l) = 3 ]; do sleep 0.01; done";
  const auto end = end_of(tine_run(
      {"-j3", ": >" + (directory / "{}") + "; " + all + "; echo {%}", ":::", "a", "b", "c"}));
  std::string slots = end.out;
  std::ranges::sort(slots);
  EXPECT_EQ(slots, "\n\n\n123");
}

TEST_F(RunLimitsTest, FewDescriptorsMeanFewerJobsAtOnceAndNoneLost) {
  std::string input;
  for (int i = 1; i <= 100; ++i) input += std::to_string(i) + "\n";
  for (const rlim_t files : {20, 40, 80}) {
    for (const char* mode : {"--group", "--lb"}) {
      const auto end = end_of(tine_run({"-k", "-j50", mode, "echo {}; : {}"})
                                  .input(input)
                                  .limit(RLIMIT_NOFILE, files, files));
      EXPECT_EQ(end.code(), 0) << files << " " << mode << ": " << end.err;
      EXPECT_EQ(end.out, input) << files << " " << mode;
    }
  }
}

TEST_F(RunLimitsTest, TooFewDescriptorsForAnyJobAreSaid) {
  const auto end = end_of(tine_run({"echo", ":::", "1"}).limit(RLIMIT_NOFILE, 9, 9));
  EXPECT_NE(end.code(), 0);
  EXPECT_NE(end.err.find("Too many open files"), std::string::npos) << end.err;
  EXPECT_EQ(end.out, "");
}

TEST_F(RunLimitsTest, SmallestFilesSufficeAndTooSmallOnesAreSaid) {
  const auto limited = [](rlim_t bytes, const char* mode) {
    return end_of(
        tine_run({mode, "-k", "echo {}", ":::", "1", "2"}).limit(RLIMIT_FSIZE, bytes, bytes));
  };
  for (const char* mode : {"--group", "--lb"}) {
    const auto small = limited(65536, mode);
    EXPECT_EQ(small.code(), 0) << small.err;
    EXPECT_EQ(small.out, "1\n2\n");
    const auto none = limited(0, mode);
    EXPECT_EQ(none.code(), 2);
    EXPECT_NE(none.err.find("RLIMIT_FSIZE is 0"), std::string::npos) << none.err;
  }
}

TEST_F(RunLimitsTest, ProcessLimitMeansFewerJobsAtOnceAndSaysSo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs another user";
  const TemporaryDirectory directory;
  const std::string command = directory / "tine";
  std::filesystem::copy_file(TINE_COMMAND, command);
  std::filesystem::permissions(directory.path(), std::filesystem::perms::all);
  constexpr uid_t kNobodyElse = 54321;
  const auto end = end_of(Command{command, "run", "-k", "-j20", "sleep", "0.{}", ":::", 1, 2, 3, 1,
                                  2,       3,     1,    2,      3,       1,      2,     3, 1, 2, 3}
                              .env("PARALLEL_SHELL", "/bin/sh")
                              .env("TMPDIR", directory.path())
                              .dir("/")
                              .in(Redirect::null())
                              .group(kNobodyElse)
                              .groups({})
                              .user(kNobodyElse)
                              .limit(RLIMIT_NPROC, 10));
  EXPECT_EQ(end.code(), 0) << end.err;
  EXPECT_NE(end.err.find("jobs at once for now: cannot create a process"), std::string::npos)
      << end.err;
}

TEST_F(RunLimitsTest, AllJobsAtOnceWithUnlimitedJobs) {
  const TemporaryDirectory directory;
  std::string input;
  for (int i = 1; i <= 200; ++i) input += std::to_string(i) + "\n";
  const auto end = end_of(tine_run({"-j0", ": >" + (directory / "{}") + "; until [ -e " +
                                               (directory / "200") + " ]; do sleep 0.05; done"})
                              .input(input));
  EXPECT_EQ(end.code(), 0);
  EXPECT_EQ(files_in(directory.path()), 200u);
}

using RunLimitsSlowTest = CleanProcessTest;

TEST_F(RunLimitsSlowTest, ThousandJobsAtOnceAllEndWithTheirRun) {
  constexpr std::size_t kJobs = 1000;
  const TemporaryDirectory directory;
  std::string input;
  for (std::size_t i = 1; i <= kJobs; ++i) input += std::to_string(i) + "\n";
  auto run = start_alone(tine_run({"-j0", "--lb", child_program("ignore_term"), "#{}"})
                             .input(input)
                             .out(Redirect::write(directory / "out")));
  ASSERT_TRUE(eventually([&] {
    return read_text(directory / "out").size() == kJobs * std::string("ready\n").size();
  }));
  const auto tree = process_tree(run.pid());
  ASSERT_TRUE(tree);
  EXPECT_GT(tree->size(), kJobs);
  ::kill(-run.pid(), SIGKILL);
  for (const auto& process : *tree) {
    EXPECT_TRUE(eventually([&] { return !is_running(process.pid); })) << process.pid;
  }
  status_of(run);
}

}  // namespace
}  // namespace tine
