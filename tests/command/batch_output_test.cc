// SPDX-License-Identifier: MIT

/// Batch: where the output of jobs goes.

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "command/batch_testing.h"

namespace tine {
namespace {

using namespace batch_testing;
using namespace tine::literals;

struct BatchOutputTest : test::CleanProcessTest {};

TEST_F(BatchOutputTest, FilesHoldEveryByteOfEachStream) {
  Batch batch{{.jobs = 2, .ordered = true}};
  for (int i = 0; i < 4; ++i) batch.add({child_program("flood"), 4_MiB});
  batch.add({"printf", "\\000\\377\\n"});
  int seen = 0;
  while (auto outcome = batch.next()) {
    if (++seen == 5) {
      EXPECT_EQ(outcome->out.read(), std::string("\0\xff\n", 3));
      continue;
    }
    EXPECT_EQ(outcome->out.size(), 4_MiB);
    EXPECT_TRUE(outcome->out.read() == std::string(4_MiB, 'o'));
    EXPECT_TRUE(outcome->err.read() == std::string(4_MiB, 'e'));
  }
}

TEST_F(BatchOutputTest, PartsOfAFileCanBeRead) {
  Batch batch{{.jobs = 1}};
  batch.add({"printf", "0123456789"});
  const auto outcome = batch.next();
  EXPECT_EQ(outcome->out.read(3), "012");
  EXPECT_EQ(outcome->out.tail(3), "789");
  EXPECT_EQ(outcome->out.tail(100), "0123456789");
  EXPECT_EQ(outcome->out.read(0), "");
  EXPECT_EQ(OutputFile{}.read(), "");
  EXPECT_EQ(OutputFile{}.size(), 0u);
}

TEST_F(BatchOutputTest, CopiesGoToAnyKindOfDescriptor) {
  const TemporaryDirectory dir;
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, std::size_t{3_MiB}}) {
    Batch batch{{.jobs = 1}};
    batch.add(Command{"cat"}.input(std::string(size, 'x')));
    const auto outcome = batch.next();
    const std::string path = dir.write("f", "before");
    const Fd plain{::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC)};
    EXPECT_EQ(outcome->out.copy_to(plain.get()).value(), size);
    EXPECT_TRUE(test::read_text(path) == std::string(size, 'x'));
    const Fd append{::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_APPEND)};
    EXPECT_EQ(outcome->out.copy_to(append.get()).value(), size);
    EXPECT_EQ(test::read_text(path).size(), 2 * size);
    auto counter = Command({"wc", "-c"}).in(Redirect::pipe()).out(Redirect::pipe()).start().value();
    ::fcntl(counter.in().get(), F_SETFL, O_WRONLY | O_NONBLOCK);  // full pipes are waited for
    EXPECT_EQ(outcome->out.copy_to(counter.in().get()).value(), size);
    counter.in().reset();
    EXPECT_EQ(test::read_line(counter.out()), std::to_string(size));
  }
}

TEST_F(BatchOutputTest, CopyWithoutAReaderIsAnError) {
  for (const std::size_t size : {std::size_t{10}, std::size_t{3_MiB}}) {
    Batch batch{{.jobs = 1}};
    batch.add(Command{"cat"}.input(std::string(size, 'x')));
    const auto outcome = batch.next();
    auto pipe = Pipe::create().value();
    pipe.reader.close();
    const auto copied = outcome->out.copy_to(pipe.writer.fd().get());
    ASSERT_FALSE(copied);
    EXPECT_EQ(copied.error().kind, ErrorKind::broken_pipe);
  }
}

TEST_F(BatchOutputTest, CopyToAFullDiskIsAnError) {
  Batch batch{{.jobs = 1}};
  batch.add({"echo", "x"});
  const auto outcome = batch.next();
  const Fd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
  EXPECT_EQ(outcome->out.copy_to(full.get()).error().kind, ErrorKind::no_space);
}

TEST_F(BatchOutputTest, RedirectedStreamsOfAJobGoWhereItSays) {
  const TemporaryDirectory dir;
  Batch batch{{.jobs = 1}};
  batch.add(script("echo out; echo err >&2").out(Redirect::write(dir / "f")));
  const auto outcome = batch.next();
  EXPECT_FALSE(outcome->out);
  EXPECT_EQ(outcome->err.read(), "err\n");
  EXPECT_EQ(test::read_text(dir / "f"), "out\n");
}

TEST_F(BatchOutputTest, FailureHasTheLastWords) {
  Batch batch{{.jobs = 1}};
  batch.add(script("echo why >&2; exit 3"));
  EXPECT_EQ(batch.next()->result.error().stderr_tail, "why\n");
}

TEST_F(BatchOutputTest, ReusedFilesAreEmpty) {
  Batch batch{{.jobs = 1, .ordered = true}};
  for (int i = 0; i < 20; ++i) batch.add(script("echo $0; echo e$0 >&2", std::to_string(i)));
  std::set<int> descriptors;
  while (auto outcome = batch.next()) {
    EXPECT_EQ(outcome->out.read(), std::to_string(outcome->index) + "\n");
    EXPECT_EQ(outcome->err.read(), "e" + std::to_string(outcome->index) + "\n");
    descriptors.insert(outcome->out.fd().get());
    batch.reuse(std::move(outcome->out), std::move(outcome->err));
  }
  EXPECT_LE(descriptors.size(), 6u);
}

TEST_F(BatchOutputTest, SurvivorOfAJobNeverWritesIntoTheNextOnesFile) {
  // It keeps the files and writes for as long as it lives.
  const TemporaryDirectory dir;
  Batch batch{{.jobs = 1, .ordered = true}};
  const std::string survivor =
      "sh -c 'echo $$ >$0; while :; do echo survivor; echo survivor >&2; sleep 0.002; done' \"$0\" "
      "& "
      "while ! test -s \"$0\"; do sleep 0.002; done";
  batch.add(script(survivor, dir / "pid").leave_descendants());
  for (int i = 0; i < 20; ++i) batch.add(script("sleep 0.01; echo $0", std::to_string(i)));
  std::string wrong;
  while (auto outcome = batch.next()) {
    if (outcome->index > 0 && outcome->out.read() != std::to_string(outcome->index - 1) + "\n") {
      wrong += outcome->out.read();
    }
    batch.reuse(std::move(outcome->out), std::move(outcome->err));
  }
  ::kill(std::stoi(test::read_text(dir / "pid")), SIGKILL);
  EXPECT_EQ(wrong, "");
}

// ---- Lines and inherit ----

TEST_F(BatchOutputTest, LinesComeWholeAndSayWhoseTheyAre) {
  std::map<std::uint64_t, std::string> said;
  BatchOptions options{.jobs = 4, .output = BatchOutput::lines};
  options.on_output = [&](const RunningJob& job, Piece piece) {
    EXPECT_TRUE(piece.text.ends_with('\n')) << piece.text;
    if (piece.fd == 1) said[job.index] += piece.text;
  };
  Batch batch{std::move(options)};
  for (int i = 0; i < 8; ++i) {
    batch.add(script("for i in 1 2 3; do printf half; sleep 0.005; echo $0; echo e >&2; done",
                     std::to_string(i)));
  }
  while (auto outcome = batch.next()) EXPECT_TRUE(outcome->result);
  ASSERT_EQ(said.size(), 8u);
  for (const auto& [index, text] : said) {
    const std::string line = "half" + std::to_string(index) + "\n";
    EXPECT_EQ(text, line + line + line);
  }
}

TEST_F(BatchOutputTest, LastLineWithoutANewlineIsGivenAtTheEnd) {
  std::string said;
  BatchOptions options{.jobs = 1, .output = BatchOutput::lines};
  options.on_output = [&](const RunningJob&, Piece piece) {
    said += "[" + std::string(piece.text) + "]";
  };
  Batch batch{std::move(options)};
  batch.add({"printf", "a\\nb"});
  EXPECT_TRUE(batch.next()->result);
  EXPECT_EQ(said, "[a\n][b]");
}

TEST_F(BatchOutputTest, FloodsInLinesModeAreBoundedAndWhole) {
  std::size_t total = 0;
  std::size_t longest = 0;
  BatchOptions options{.jobs = 2, .output = BatchOutput::lines};
  options.on_output = [&](const RunningJob&, Piece piece) {
    total += piece.text.size();
    longest = std::max(longest, piece.text.size());
  };
  Batch batch{std::move(options)};
  for (int i = 0; i < 4; ++i)
    batch.add({child_program("flood"), 5'000'000});  // without any newline
  while (auto outcome = batch.next()) EXPECT_TRUE(outcome->result);
  EXPECT_EQ(total, 4u * 2 * 5'000'000);
  EXPECT_LE(longest, 1_MiB + 64_KiB);
}

TEST_F(BatchOutputTest, SurvivorThatFloodsItsStreamHoldsNobodyUp) {
  const TemporaryDirectory dir;
  BatchOptions options{.jobs = 1, .output = BatchOutput::lines};
  // Slower than the flood.
  options.on_output = [](const RunningJob&, Piece) { ::usleep(2000); };
  Batch batch{std::move(options)};
  batch.add(script("setsid sh -c ': >$0; exec yes' $0 & while ! test -e $0; do sleep 0.01; done",
                   dir / "flows"));
  EXPECT_TRUE(batch.next()->result);
  EXPECT_FALSE(batch.next());
}

TEST_F(BatchOutputTest, InheritedOutputGoesStraightThrough) {
  auto pipe = Pipe::create().value();
  in_a_fork([&] {
    const Fd saved{::fcntl(1, F_DUPFD_CLOEXEC, 10)};
    ::dup2(pipe.writer.fd().get(), 1);
    {
      Batch batch{{.jobs = 1, .output = BatchOutput::inherit}};
      batch.add({"echo", "straight"});
      auto outcome = batch.next();
      EXPECT_FALSE(outcome->out);
    }
    ::dup2(saved.get(), 1);
  });
  pipe.writer.close();
  EXPECT_EQ(pipe.reader.read_all().value(), "straight\n");
}

// ---- Directories ----

TEST_F(BatchOutputTest, NoTemporaryDirectoryIsAnOutcomeWithAHint) {
  Batch batch{{.jobs = 1, .tmpdir = "/no/such/directory"}};
  batch.add({"true"});
  const auto outcome = batch.next();
  ASSERT_FALSE(outcome->result);
  EXPECT_EQ(outcome->result.error().cause, Cause::not_started);
  EXPECT_EQ(outcome->result.error().to_string(),
            "cannot open 'a temporary file in /no/such/directory': No such file or directory: set "
            "TMPDIR, or --tmpdir of `tine run`, to another directory");
}

TEST_F(BatchOutputTest, TmpdirOfTheEnvironmentIsUsedAndLeftEmpty) {
  const TemporaryDirectory dir;
  in_a_fork([&] {
    ::setenv("TMPDIR", dir.path().c_str(), 1);
    Batch batch{{.jobs = 1}};
    batch.add({"echo", "x"});
    auto outcome = batch.next();
    EXPECT_EQ(outcome->out.read(), "x\n");
    const auto file =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(outcome->out.fd().get()));
    EXPECT_TRUE(file.native().starts_with(dir.path())) << file;
  });
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  in_a_fork([] {
    ::unsetenv("TMPDIR");
    Batch batch{{.jobs = 1}};
    batch.add({"echo", "x"});
    EXPECT_EQ(batch.next()->out.read(), "x\n");
  });
}

TEST_F(BatchOutputTest, FullTemporaryDirectoryIsTheJobsOwnError) {
  const TemporaryDirectory dir;
  if (::mount("none", dir.path().c_str(), "tmpfs", 0, "size=128k") != 0) {
    GTEST_SKIP() << "a small file system can be mounted only by root";
  }
  {
    Batch batch{{.jobs = 1, .ordered = true, .tmpdir = dir.path()}};
    batch.add({"head", "-c", 1_MiB, "/dev/zero"});
    auto outcome = batch.next();
    EXPECT_FALSE(outcome->result);
    EXPECT_NE(outcome->result.error().to_string().find("exited with 1"), std::string::npos);
    EXPECT_LE(outcome->out.size(), 128_KiB);
    batch.reuse(std::move(outcome->out), std::move(outcome->err));  // gives the space back
    batch.add({"echo", "after"});
    outcome = batch.next();
    EXPECT_TRUE(outcome->result);
    EXPECT_EQ(outcome->out.read(), "after\n");
  }
  ::umount(dir.path().c_str());
}

TEST_F(BatchOutputTest, DescriptorsUsedUpMakeJobsWaitAndLoseNone) {
  in_a_fork([] {
    ASSERT_TRUE(Command{"true"}.run());
    int shortages = 0;
    Batch batch{{.jobs = 100, .on_shortage = [&shortages](const Error& error, std::size_t running) {
                   ++shortages;
                   EXPECT_EQ(error.kind, ErrorKind::too_many_files);
                   EXPECT_GT(running, 0u);
                 }}};
    const rlimit few{40, 40};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < 50; ++i) batch.add({"sleep", "0.1"});
    int done = 0;
    while (auto outcome = batch.next()) done += outcome->result ? 1 : 0;
    EXPECT_EQ(done, 50);
    EXPECT_GT(shortages, 0);
  });
}

TEST_F(BatchOutputTest, SurvivorInASessionOfItsOwnNeverWritesIntoAnotherJobsFile) {
  TemporaryDirectory dir;
  const std::string go = dir / "go";
  const std::string said = dir / "said";
  ASSERT_EQ(::mkfifo(go.c_str(), 0600), 0);
  Batch batch{{.jobs = 1, .tmpdir = dir.path()}};
  const std::string ready = dir / "ready";
  batch.add(
      Command::shell("setsid sh -c ': >\"$3\"; read x <\"$1\"; echo late; : >\"$2\"' sh \"$@\" & "
                     "while ! [ -e \"$3\" ]; do sleep 0.01; done",
                     {go, said, ready}));
  auto outcome = batch.next();
  ASSERT_TRUE(outcome && outcome->result);
  batch.reuse(std::move(outcome->out), std::move(outcome->err));
  batch.add(Command::shell("echo x >\"$1\"; while ! [ -e \"$2\" ]; do sleep 0.01; done; echo mine",
                           {go, said}));
  outcome = batch.next();
  ASSERT_TRUE(outcome && outcome->result);
  EXPECT_EQ(outcome->out.read(), "mine\n");
}

}  // namespace
}  // namespace tine
