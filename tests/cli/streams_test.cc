// SPDX-License-Identifier: MIT

// stdin, stdout and stderr of the command itself: closed, full, abandoned, shared, a terminal.

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;
using RunStreamsTest = CleanProcessTest;

/// `tine run ARGUMENTS` with shell redirections behind it.
Command in_shell(const std::string& arguments) {
  return Command::shell(std::string(TINE_COMMAND) + " run " + arguments)
      .env("PARALLEL_SHELL", "/bin/sh")
      .in(Redirect::null())
      .timeout(std::chrono::minutes(1));
}

TEST_F(RunStreamsTest, ClosedStdoutIsAnErrorOnceSomethingIsToBeWritten) {
  const auto end = end_of(in_shell("'echo {}' ::: 1 2 >&-"));
  EXPECT_EQ(end.code(), 255);
  EXPECT_EQ(end.err, "tine run: cannot write 'standard output': Bad file descriptor\n");
  EXPECT_EQ(end_of(in_shell("true ::: 1 2 >&-")).code(), 0);
}

TEST_F(RunStreamsTest, ClosedStdoutIsRefusedToUngroupedJobsToo) {
  EXPECT_EQ(end_of(in_shell("-u 'echo {}' ::: 1 >&-")).code(), 1);
}

TEST_F(RunStreamsTest, FullStdoutEndsTheRun) {
  const auto end = end_of(in_shell("-j1 'echo {}' ::: 1 2 >/dev/full"));
  EXPECT_EQ(end.code(), 255);
  EXPECT_EQ(end.err, "tine run: cannot write 'standard output': No space left on device\n");
}

TEST_F(RunStreamsTest, FullStdoutIsAnErrorAlsoWhereNothingIsRun) {
  for (const char* words :
       {"--help", "--version", "--number-of-cpus", "--show-limits true ::: a"}) {
    for (const char* where : {" >/dev/full", " >&-"}) {
      const auto end = end_of(in_shell(std::string(words) + where));
      EXPECT_EQ(end.code(), 255) << words << where;
      EXPECT_EQ(end.err.find("tine: cannot write 'standard output'"), 0u) << end.err;
    }
  }
}

TEST_F(RunStreamsTest, FullStderrEndsTheRunWithoutACrash) {
  const auto end = end_of(in_shell("-j1 'echo {} >&2; exit 1' ::: 1 2 2>/dev/full"));
  EXPECT_EQ(end.code(), 255);
  EXPECT_EQ(end_of(in_shell("-j1 'exit 1; : {}' ::: 1 2 2>/dev/full")).code(), 2);
  EXPECT_EQ(end_of(in_shell("--no-such-option 2>/dev/full")).code(), 255);
}

TEST_F(RunStreamsTest, ReaderThatGoesAwayEndsThousandsOfJobs) {
  const TemporaryDirectory directory;
  auto run =
      start_alone(tine_run({"-j2", "-a", "-", "echo {}; echo {} >>" + (directory / "started")})
                      .in(Redirect::pipe())
                      .out(Redirect::pipe())
                      .err(Redirect::pipe()));
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(::write(run.in().get(), "a\n", 2), 2);
  }
  EXPECT_EQ(read_line(run.out()), "a");
  run.out().reset();
  EXPECT_EQ(status_of(run).code(), 255);  // though stdin stays open
  EXPECT_EQ(read_to_end(run.err()), "tine run: cannot write 'standard output': Broken pipe\n");
  EXPECT_LT(read_text(directory / "started").size(), 4000u);
}

TEST_F(RunStreamsTest, ClosedStdinIsAnEmptyInput) {
  EXPECT_EQ(end_of(in_shell("echo <&-")).code(), 0);
  const auto end = end_of(in_shell("echo ::: 1 <&-"));
  EXPECT_EQ(end.out, "1\n");
}

TEST_F(RunStreamsTest, AllThreeClosedIsSurvived) {
  const TemporaryDirectory directory;
  const auto end = end_of(in_shell("'echo job >" + (directory / "{}") + "' ::: a b <&- >&- 2>&-"));
  EXPECT_EQ(end.code(), 0);
  EXPECT_EQ(read_text(directory / "a"), "job\n");
  EXPECT_EQ(end_of(in_shell("echo ::: a <&- >&- 2>&-")).code(), 255);
}

TEST_F(RunStreamsTest, AppendedFileKeepsWhatItHad) {
  const TemporaryDirectory directory;
  directory.write("file", "before\n");
  const auto end =
      end_of(tine_run({"-k", "head -c 100000 /dev/zero | tr '\\0' {}; echo", ":::", "a", "b"})
                 .out(Redirect::append(directory / "file")));
  EXPECT_EQ(end.code(), 0);
  const std::string text = read_text(directory / "file");
  EXPECT_EQ(text, "before\n" + std::string(100000, 'a') + "\n" + std::string(100000, 'b') + "\n");
}

TEST_F(RunStreamsTest, NonBlockingPipeLosesNothingAndStaysAsItIs) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd reader{ends[0]};
  Fd writer{ends[1]};
  ::fcntl(writer.get(), F_SETFL, O_NONBLOCK);
  auto run = start_alone(tine_run({"-k", "head -c 1000000 /dev/zero; : {}", ":::", "1", "2"})
                             .out(Redirect::fd(writer.get())));
  ::fcntl(writer.get(), F_SETFL, 0);  // what the run may not change back
  EXPECT_EQ(::fcntl(writer.get(), F_GETFL) & O_NONBLOCK, 0);
  const int flags = ::fcntl(writer.get(), F_GETFL);
  Fd kept = std::move(writer);
  std::size_t got = 0;
  char block[65536];
  while (got < 2000000) {
    const ssize_t size = ::read(reader.get(), block, sizeof block);
    ASSERT_GT(size, 0);
    got += static_cast<std::size_t>(size);
  }
  EXPECT_EQ(status_of(run).code(), 0);
  EXPECT_EQ(got, 2000000u);
  EXPECT_EQ(::fcntl(kept.get(), F_GETFL), flags);
}

TEST_F(RunStreamsTest, SocketAsStdoutTakesEverything) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  Fd reader{ends[0]};
  Fd writer{ends[1]};
  auto run = start_alone(tine_run({"-k", "head -c 500000 /dev/zero; : {}", ":::", "1", "2"})
                             .out(Redirect::fd(writer.get())));
  writer.reset();
  EXPECT_EQ(read_to_end(reader).size(), 1000000u);
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunStreamsTest, TerminalAsStdoutTakesEverything) {
  auto run = start_alone(tine_run({"-k", "yes | head -n 10000; echo end{}", ":::", "1", "2"})
                             .in(Redirect::pseudo_terminal())
                             .out(Redirect::pseudo_terminal()));
  const std::string text = read_to_end(run.in());
  EXPECT_EQ(text.size(), 2 * (30000u + 6));  // the terminal makes "\r\n" of "\n"
  EXPECT_EQ(text.substr(text.size() - 6), "end2\r\n");
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunStreamsTest, ListOfALoopIsNotEatenByTheFirstJob) {
  const auto end = end_of(Command::shell("printf '1\\n2\\n3\\n' | while read x; do " TINE_COMMAND
                                         " run 'cat; echo {}' ::: $x; done")
                              .env("PARALLEL_SHELL", "/bin/sh"));
  EXPECT_EQ(end.out, "1\n2\n3\n");
}

TEST_F(RunStreamsTest, BarOnATerminalIsRedrawnAndElsewhereALine) {
  auto run =
      start_alone(tine_run({"--bar", "true", ":::", "1", "2"}).err(Redirect::pseudo_terminal()));
  const std::string drawn = read_to_end(run.err());
  EXPECT_NE(drawn.find("\r["), std::string::npos);
  EXPECT_NE(drawn.find("2 of 2"), std::string::npos);
  EXPECT_EQ(status_of(run).code(), 0);
  const auto plain = end_of(tine_run({"--bar", "true", ":::", "1", "2"}));
  EXPECT_EQ(plain.err.find('\r'), std::string::npos);
  EXPECT_NE(plain.err.find("2 of 2"), std::string::npos);
}

/// What comes from `terminal` until `text` has come `times` times; 10 s at most for each piece.
std::string read_until(const Fd& terminal, const std::string& text, int times = 1) {
  std::string all;
  for (std::size_t from = 0; times > 0;) {
    if (const auto at = all.find(text, from); at != std::string::npos) {
      from = at + text.size();
      --times;
      continue;
    }
    pollfd some{terminal.get(), POLLIN, 0};
    char block[4096];
    const ssize_t got =
        ::poll(&some, 1, 10000) > 0 ? ::read(terminal.get(), block, sizeof block) : 0;
    if (got <= 0) {
      ADD_FAILURE() << "no more '" << text << "' in: " << all;
      return all;
    }
    all.append(block, static_cast<std::size_t>(got));
  }
  return all;
}

/// Shell text that waits until there is such a file.
std::string wait_for_file(const std::string& path) {
  return "until [ -e " + path + " ]; do sleep 0.01; done";
}

TEST_F(RunStreamsTest, BarOnATerminalMovesWhileNoJobEnds) {
  const TemporaryDirectory directory;
  auto run = start_alone(tine_run({"--bar", wait_for_file(directory / "go") + "; : {}", ":::", "1"})
                             .err(Redirect::pseudo_terminal()));
  read_until(run.err(), "\r[", 3);
  directory.write("go", "");
  read_until(run.err(), "1 of 1");
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunStreamsTest, RunWithoutABarHasNoTimer) {
  const TemporaryDirectory directory;
  const auto timers_of = [&](const std::string& option) {
    Pids pids(directory);
    auto run =
        start_alone(tine_run({option, pids.tell("job") + wait_for_file(directory / "go") + "; : {}",
                              ":::", "1"})
                        .err(Redirect::pseudo_terminal()));
    pids.of("job");
    std::ptrdiff_t timers = 0;
    for (const auto& entry : std::filesystem::directory_iterator(
             "/proc/" + std::to_string(runner_of(run.pid())) + "/fd")) {
      std::error_code gone;
      timers += std::filesystem::read_symlink(entry, gone) == "anon_inode:[timerfd]" ? 1 : 0;
    }
    directory.write("go", "");
    read_to_end(run.err());
    EXPECT_EQ(status_of(run).code(), 0);
    for (const char* name : {"go", "job"}) std::filesystem::remove(directory / name);
    return timers;
  };
  EXPECT_EQ(timers_of("--bar"), 1);
  EXPECT_EQ(timers_of("-j1"), 0);
}

TEST_F(RunStreamsTest, BarMakesWayForWhatIsPrinted) {
  const TemporaryDirectory directory;
  auto run = start_alone(
      tine_run({"--bar", "--lb", "-v", "-j1", wait_for_file(directory / "go{}"), ":::", "1", "2"})
          .out(Redirect::pseudo_terminal())
          .err(Redirect::pseudo_terminal()));
  read_until(run.out(), "0 of 2");
  directory.write("go1", "");
  const std::string text = read_until(run.out(), "go2 ]");
  EXPECT_NE(text.find("\r\033[Kuntil"), std::string::npos) << text;
  directory.write("go2", "");
  read_to_end(run.out());
  EXPECT_EQ(status_of(run).code(), 0);
}

}  // namespace
}  // namespace tine
