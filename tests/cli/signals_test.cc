// SPDX-License-Identifier: MIT

// What the signals that people send to a run do.

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;

class RunSignalsTest : public CleanProcessTest {
 protected:
  /// A job that tells its pid and then waits for the file `go`.
  [[nodiscard]] std::string waiting_job() const {
    return pids_.tell("job{}") + " until [ -e " + (directory_ / "go") +
           " ]; do sleep 0.01; done; echo {}";
  }
  void go() const { directory_.write("go", ""); }

  /// A process that reads its signals has taken them from the queue once it waits without them.
  static bool has_heard_all(pid_t pid) {
    return read_text("/proc/" + std::to_string(pid) + "/status")
                   .find("ShdPnd:\t0000000000000000") != std::string::npos &&
           state_of(pid) == 'S';
  }

  static bool is_full(const Fd& pipe) {
    int waiting = 0;
    return ::ioctl(pipe.get(), FIONREAD, &waiting) == 0 && waiting >= 65536;
  }

  TemporaryDirectory directory_;
  Pids pids_{directory_};
};

TEST_F(RunSignalsTest, HangupLetsRunningJobsFinishAndStartsNoMore) {
  auto run =
      start_alone(tine_run({"-j1", waiting_job(), ":::", "1", "2", "3"}).out(Redirect::pipe()));
  pids_.of("job1");
  ::kill(run.pid(), SIGHUP);
  ASSERT_TRUE(eventually(
      [&] { return has_heard_all(runner_of(run.pid())) && state_of(run.pid()) == 'S'; }));
  go();
  EXPECT_EQ(read_to_end(run.out()).substr(0, 2), "1\n");
  EXPECT_EQ(status_of(run).code(), 0);
  EXPECT_FALSE(exists(directory_ / "job3"));
}

TEST_F(RunSignalsTest, User1WhileTheInputIsReadDoesNotCutItShort) {
  // The bar wants to know how many jobs there will be.
  auto run = start_alone(tine_run({"--bar", "-k", "-a", "-", "echo"})
                             .in(Redirect::pipe())
                             .out(Redirect::pipe())
                             .err(Redirect::pipe()));
  ASSERT_EQ(::write(run.in().get(), "1\n", 2), 2);
  ASSERT_TRUE(eventually([&] { return runner_of(run.pid()) != 0; }));
  ::kill(runner_of(run.pid()), SIGUSR1);
  ASSERT_TRUE(eventually([&] { return has_heard_all(runner_of(run.pid())); }));
  ASSERT_EQ(::write(run.in().get(), "2\n", 2), 2);
  run.in().reset();
  EXPECT_EQ(read_to_end(run.out()), "1\n2\n");
  EXPECT_NE(read_to_end(run.err()).find("2 of 2"), std::string::npos);
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunSignalsTest, InterruptedRunSaysWhatItHasDone) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const TemporaryDirectory directory;
    Pids pids(directory);
    auto run =
        start_alone(tine_run({"-j1", "--summary",
                              "[ {} = 1 ] && exit 0; " + pids.tell("job") + " exec sleep 600",
                              ":::", "1", "2", "3", "4"})
                        .out(Redirect::null())
                        .err(Redirect::pipe()));
    pids.of("job");
    ::kill(run.pid(), signal);
    const std::string said = read_to_end(run.err());
    EXPECT_NE(said.find("jobs      1\nfailed    0\ncancelled 1\n"), std::string::npos) << said;
    EXPECT_TRUE(said.ends_with("tine run: interrupted by " + signal_name(signal) +
                               ": 1 jobs done, 1 ended, 2 not started\n"))
        << said;
    status_of(run);
  }
}

TEST_F(RunSignalsTest, InterruptDoesNotWaitForInputToCount) {
  auto run = start_alone(tine_run({"-j1", pids_.tell("job") + " exec sleep 600; : {}"})
                             .in(Redirect::pipe())
                             .out(Redirect::null())
                             .err(Redirect::pipe()));
  ASSERT_EQ(::write(run.in().get(), "1\n", 2), 2);
  pids_.of("job");
  ::kill(run.pid(), SIGTERM);
  EXPECT_EQ(read_to_end(run.err()),
            "tine run: interrupted by SIGTERM: 0 jobs done, 1 ended, the rest not started\n");
  EXPECT_EQ(status_of(run).code(), 255);
}

TEST_F(RunSignalsTest, InterruptWhileTheInputIsReadStartsNothing) {
  const std::string log = directory_ / "log";
  auto run = start_alone(tine_run({"--bar", "--joblog", log, "-a", "-", "sleep"})
                             .in(Redirect::pipe())
                             .out(Redirect::null())
                             .err(Redirect::null()));
  ASSERT_EQ(::write(run.in().get(), "600\n", 4), 4);
  ASSERT_TRUE(eventually([&] { return runner_of(run.pid()) != 0; }));
  ::kill(run.pid(), SIGINT);
  EXPECT_EQ(status_of(run).signal(), SIGINT);
  EXPECT_TRUE(read_text(log).ends_with("\tCommand\n"));  // its header
}

TEST_F(RunSignalsTest, UnderNohupAHangupChangesNothing) {
  auto run = start_alone(Command{"/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", TINE_COMMAND,
                                 "run", "-k", "-j1", waiting_job(), ":::", "1", "2"}
                             .in(Redirect::null())
                             .out(Redirect::pipe()));
  pids_.of("job1");
  ::kill(run.pid(), SIGHUP);
  go();
  EXPECT_EQ(read_to_end(run.out()), "1\n2\n");
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunSignalsTest, SignalsIgnoredByTheStarterAreHeardAndDefaultInJobs) {
  const auto started = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"trap '' INT TERM CHLD TSTP; exec \"$@\"", "sh", TINE_COMMAND, "run"});
    words.insert(words.begin(), {"/bin/bash", "-c"});
    return Command::of(std::move(words)).in(Redirect::null()).timeout(std::chrono::minutes(1));
  };
  EXPECT_EQ(end_of(started({child_program("print_signals"), ":::", "x"})).out,
            "blocked:\nignored:\nhandled:\n");
  auto run = start_alone(started({waiting_job(), ":::", "1"}));
  const pid_t job = pids_.of("job1");
  ::kill(run.pid(), SIGINT);
  EXPECT_EQ(status_of(run).signal(), SIGINT);
  EXPECT_TRUE(eventually([&] { return !is_running(job); }));
}

TEST_F(RunSignalsTest, User1ListsTheRunningJobs) {
  auto run = start_alone(
      tine_run({waiting_job(), ":::", "1"}).out(Redirect::null()).err(Redirect::pipe()));
  const pid_t job = pids_.of("job1");
  ::kill(run.pid(), SIGUSR1);
  const std::string line = read_line(run.err());
  EXPECT_EQ(line.find("tine run: running 1 (pid " + std::to_string(job)), 0u) << line;
  go();
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunSignalsTest, TerminalStopStopsTheJobsAndContinueContinuesThem) {
  // A job that does not fork: beside a stopped vfork child its parent is not stopped but waits.
  const std::string pipe = directory_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  auto run = start_alone(
      tine_run({pids_.tell("job{}") + " read line <" + pipe, ":::", "1"}).out(Redirect::null()));
  const pid_t job = pids_.of("job1");
  const pid_t runner = runner_of(run.pid());
  for (int round = 0; round < 2; ++round) {
    ::kill(run.pid(), SIGTSTP);
    for (const pid_t pid : {job, runner, run.pid()}) {
      EXPECT_TRUE(eventually([&] { return state_of(pid) == 'T'; }));
    }
    ::kill(run.pid(), SIGCONT);
    for (const pid_t pid : {job, runner, run.pid()}) {
      EXPECT_TRUE(eventually([&] { return state_of(pid) != 'T'; }));
    }
  }
  Fd writer{::open(pipe.c_str(), O_WRONLY | O_CLOEXEC)};
  ASSERT_EQ(::write(writer.get(), "go\n", 3), 3);
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunSignalsTest, StoppedRunDiesOfKillWithItsJobs) {
  auto run = start_alone(tine_run({waiting_job(), ":::", "1"}).out(Redirect::null()));
  const pid_t job = pids_.of("job1");
  ::kill(run.pid(), SIGTSTP);
  EXPECT_TRUE(eventually([&] { return state_of(run.pid()) == 'T'; }));
  ::kill(-run.pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_running(job); }));
  status_of(run);
}

TEST_F(RunSignalsTest, PausedReaderKeepsNoSignalOut) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const TemporaryDirectory directory;
    Pids pids(directory);
    auto run = start_alone(tine_run({"-j2",
                                     "if [ {} = 1 ]; then head -c 1000000 /dev/zero; else " +
                                         pids.tell("job") + " exec sleep 600; fi",
                                     ":::", "1", "2"})
                               .out(Redirect::pipe())
                               .err(Redirect::null()));
    const pid_t job = pids.of("job");
    ASSERT_TRUE(eventually([&] { return is_full(run.out()); }));
    ::kill(run.pid(), signal);
    const auto status = status_of(run);
    EXPECT_EQ(signal == SIGINT ? status.signal().value_or(0) : status.code().value_or(0),
              signal == SIGINT ? SIGINT : 255);
    EXPECT_FALSE(is_running(job));
  }
}

TEST_F(RunSignalsTest, PausedReaderKeepsNoJobAliveBeyondItsTimeout) {
  struct Case {
    const char* option;
    std::string job;  ///< one tells its pid, and is still there when stdout is full
  };
  const Case cases[] = {{"--group", "if [ {} = 1 ]; then head -c 1000000 /dev/zero; else " +
                                        pids_.tell("job--group") + " exec sleep 600; fi"},
                        {"--lb", "if [ {} = 1 ]; then " + pids_.tell("job--lb") + "fi; exec yes"}};
  for (const auto& [option, job] : cases) {
    auto run = start_alone(tine_run({option, "-j2", "--timeout", "1", job, ":::", "1", "2"})
                               .out(Redirect::pipe())
                               .err(Redirect::null()));
    const pid_t pid = pids_.of(std::string("job") + option);
    ASSERT_TRUE(eventually([&] { return is_full(run.out()); }));
    EXPECT_TRUE(eventually([&] { return !is_running(pid); })) << option;
    read_to_end(run.out());
    status_of(run);
  }
}

TEST_F(RunSignalsTest, PausedReaderKeepsTheDeathOfTheSupervisorNotOut) {
  auto run = start_alone(tine_run({"-j2",
                                   "if [ {} = 1 ]; then head -c 1000000 /dev/zero; else " +
                                       pids_.tell("job") + " exec sleep 600; fi",
                                   ":::", "1", "2"})
                             .out(Redirect::pipe())
                             .err(Redirect::null()));
  const pid_t job = pids_.of("job");
  ASSERT_TRUE(eventually([&] { return is_full(run.out()); }));
  ::kill(run.pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_running(job); }));
  status_of(run);
}

TEST_F(RunSignalsTest, ReaderThatComesBackGetsEverything) {
  auto run = start_alone(tine_run({"-k", "-j2", "head -c 1000000 /dev/zero; : {}", ":::", "1", "2"})
                             .out(Redirect::pipe()));
  ASSERT_TRUE(eventually([&] { return is_full(run.out()); }));
  EXPECT_EQ(read_to_end(run.out()).size(), 2000000u);
  EXPECT_EQ(status_of(run).code(), 0);
}

TEST_F(RunSignalsTest, ControlCAtATerminalEndsTheJobsAndTheShellSeesAnInterrupt) {
  auto run = start_alone(tine_run({"-a", directory_.write("in", "1\n"), waiting_job()})
                             .in(Redirect::pseudo_terminal())
                             .out(Redirect::pseudo_terminal())
                             .err(Redirect::pseudo_terminal()));
  const pid_t job = pids_.of("job1");
  ASSERT_EQ(::write(run.in().get(), "\x03", 1), 1);
  const std::string said = read_to_end(run.in());
  EXPECT_NE(said.find("interrupted by SIGINT: 0 jobs done, 1 ended, 0 not started"),
            std::string::npos)
      << said;
  EXPECT_EQ(status_of(run).signal(), SIGINT);
  EXPECT_TRUE(eventually([&] { return !is_running(job); }));
}

TEST_F(RunSignalsTest, ControlZAtATerminalStopsAllOnceAndContinueContinuesThem) {
  const std::string pipe = directory_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  auto run =
      start_alone(tine_run({"-j2", pids_.tell("job{}") + " read line <" + pipe, ":::", "1", "2"})
                      .in(Redirect::pseudo_terminal())
                      .out(Redirect::pseudo_terminal())
                      .err(Redirect::pseudo_terminal()));
  const std::vector<pid_t> all{pids_.of("job1"), pids_.of("job2"), runner_of(run.pid()), run.pid()};
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(::write(run.in().get(), "\x1a", 1), 1);
    for (const pid_t pid : all)
      EXPECT_TRUE(eventually([&] { return state_of(pid) == 'T'; })) << pid;
    ::kill(-run.pid(), SIGCONT);
    for (const pid_t pid : all)
      EXPECT_TRUE(eventually([&] { return state_of(pid) == 'S'; })) << pid;
  }
  Fd writer{::open(pipe.c_str(), O_WRONLY | O_CLOEXEC)};
  ASSERT_EQ(::write(writer.get(), "go\n", 3), 3);
  writer.reset();
  EXPECT_EQ(status_of(run).code(), 1);  // the second job read the end of the pipe
}

TEST_F(RunSignalsTest, ControlCIsHeardWhileTheTerminalIsFull) {
  auto run = start_alone(tine_run({"-j2",
                                   "if [ {} = 1 ]; then yes | head -c 1000000; else " +
                                       pids_.tell("job") + " exec sleep 600; fi",
                                   ":::", "1", "2"})
                             .in(Redirect::pseudo_terminal())
                             .out(Redirect::pseudo_terminal())
                             .err(Redirect::null()));
  const pid_t job = pids_.of("job");
  pollfd some{run.in().get(), POLLIN, 0};
  ASSERT_EQ(::poll(&some, 1, 10000), 1);
  ASSERT_EQ(::write(run.in().get(), "\x03", 1), 1);
  EXPECT_EQ(status_of(run).signal(), SIGINT);
  EXPECT_TRUE(eventually([&] { return !is_running(job); }));
}

}  // namespace
}  // namespace tine
