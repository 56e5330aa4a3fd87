// SPDX-License-Identifier: MIT

// No room for the output of jobs, and how little room the command itself needs.

#include <sys/mount.h>

#include <fstream>

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;
using RunSpaceTest = CleanProcessTest;
/// About the memory of tine, of which the sanitizer needs several times as much itself.
using RunSpaceNoAsanTest = CleanProcessTest;

/// A file system of 64 KiB.
class TinyDisk {
 public:
  TinyDisk() : mounted_(::mount("none", directory_.path().c_str(), "tmpfs", 0, "size=64k") == 0) {}
  ~TinyDisk() {
    if (mounted_) ::umount2(directory_.path().c_str(), MNT_DETACH);
  }
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::string& path() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
  bool mounted_;
};

/// The peak resident set of the runner, bytes.
std::size_t peak_of(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoul(line.substr(6)) * 1024;
  }
  return 0;
}

TEST_F(RunSpaceTest, OutputThatDidNotFitIsNoSuccessEvenIfTheJobSaysSo) {
  const TinyDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  for (const char* mode : {"--group", "-k"}) {
    const auto end = end_of(
        tine_run({"-j1", mode, "head -c 200000 /dev/zero 2>/dev/null; true {}", ":::", "1", "2"})
            .env("TMPDIR", disk.path()));
    EXPECT_EQ(end.code(), 255);
    EXPECT_NE(end.err.find("no space left in '" + disk.path() + "'"), std::string::npos) << end.err;
    EXPECT_LE(end.out.size(), 65536u) << "the second job has not run";
    EXPECT_EQ(files_in(disk.path()), 0u);
  }
}

TEST_F(RunSpaceTest, SmallOutputOnASmallDiskIsFine) {
  const TinyDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  const auto end = end_of(tine_run({"-k", "echo {}", ":::", "1", "2"}).env("TMPDIR", disk.path()));
  EXPECT_EQ(end.out, "1\n2\n");
  EXPECT_EQ(end.code(), 0);
}

TEST_F(RunSpaceTest, FilesOfJobsThatDidNotFitEndTheRun) {
  const TinyDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "may not mount";
  const std::string big = "head -c 200000 /dev/zero 2>/dev/null; true {}";
  for (const std::vector<std::string>& where :
       {std::vector<std::string>{"--files", "--tmpdir", disk.path()},
        std::vector<std::string>{"--results", disk.path() + "/out{}"}}) {
    std::vector<std::string> words = where;
    words.insert(words.end(), {"-j1", big, ":::", "1", "2"});
    const auto end = end_of(tine_run(words));
    EXPECT_EQ(end.code(), 255);
    EXPECT_NE(end.err.find("no space left in '" + disk.path() + "'"), std::string::npos) << end.err;
    for (const auto& entry : std::filesystem::directory_iterator(disk.path())) {
      std::filesystem::remove(entry.path());
    }
  }
}

TEST_F(RunSpaceTest, MissingDirectoryStopsTheRunAtTheFirstJob) {
  const auto end = end_of(tine_run({"-j1", "echo", ":::", "1", "2"}).env("TMPDIR", "/no/such"));
  EXPECT_EQ(end.code(), 255);
  EXPECT_EQ(end.out, "");
  EXPECT_NE(end.err.find("a temporary file in /no/such"), std::string::npos) << end.err;
  EXPECT_EQ(end.err.find("#2"), std::string::npos) << end.err;
}

TEST_F(RunSpaceTest, JobLogThatCannotBeWrittenStopsTheRun) {
  const TemporaryDirectory directory;
  const auto absent = end_of(tine_run({"--joblog", "/no/such/log", "echo", ":::", "1"}));
  EXPECT_EQ(absent.code(), 255);
  EXPECT_EQ(absent.err, "tine run: cannot open '/no/such/log': No such file or directory\n");
  const auto full = end_of(tine_run({"--joblog", "/dev/full", "echo", ":::", "1"}));
  EXPECT_EQ(full.code(), 255);
  EXPECT_EQ(full.err, "tine run: cannot write '/dev/full': No space left on device\n");
}

TEST_F(RunSpaceNoAsanTest, LargeOutputCostsNoMemory) {
  const TemporaryDirectory directory;
  auto run = start_alone(
      tine_run({"-k", "head -c 100000000 /dev/zero; : {}", ":::", "1", "2"}).out(Redirect::pipe()));
  pid_t runner = 0;
  ASSERT_TRUE(eventually([&] { return (runner = runner_of(run.pid())) != 0; }));
  std::size_t got = 0;
  std::size_t peak = 0;
  char block[65536];
  for (ssize_t size; (size = ::read(run.out().get(), block, sizeof block)) > 0;) {
    got += static_cast<std::size_t>(size);
    if (got > 190'000'000) peak = std::max(peak, peak_of(runner));
  }
  EXPECT_EQ(got, 200'000'000u);
  EXPECT_GT(peak, 0u);
  EXPECT_LT(peak, 20u << 20);
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunSpaceNoAsanTest, MillionInputsNeedLittleMemory) {
  const TemporaryDirectory directory;
  for (const char* how : {"-X", "--dry-run"}) {
    const auto end = end_of(Command::shell("seq 1000000 | " TINE_COMMAND " run -j2 " +
                                           std::string(how) + " true >" + (directory / "out") +
                                           " & wait $!; cat " + (directory / "out") + " | wc -c")
                                .env("PARALLEL_SHELL", "/bin/sh"));
    EXPECT_EQ(end.code(), 0);
    EXPECT_EQ(end.err, "");
  }
  auto run = start_alone(tine_run({"-X", "-j2", "true"}).in(Redirect::pipe()));
  pid_t runner = 0;
  ASSERT_TRUE(eventually([&] { return (runner = runner_of(run.pid())) != 0; }));
  std::string numbers;
  for (int i = 1; i <= 1'000'000; ++i) numbers += std::to_string(i) + "\n";
  for (std::size_t at = 0; at < numbers.size();) {
    const ssize_t put = ::write(run.in().get(), numbers.data() + at, numbers.size() - at);
    ASSERT_GT(put, 0);
    at += static_cast<std::size_t>(put);
  }
  const std::size_t peak = peak_of(runner);
  EXPECT_GT(peak, 0u);
  EXPECT_LT(peak, 30u << 20);
  run.in().reset();
  EXPECT_EQ(status_of(run).code(), 0);
}

}  // namespace
}  // namespace tine
