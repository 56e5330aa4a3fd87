// SPDX-License-Identifier: MIT

// SIGKILL of any of the processes that a run consists of leaves no job and no grandchild alive.

#include "cli/tine_run.h"

namespace tine {
namespace {

using namespace test;

/// A run of four jobs, each of a kind that is hard to end, in a process group of its own.
class KilledRunTest : public CleanProcessTest {
 protected:
  void SetUp() override {
    CleanProcessTest::SetUp();
    directory_.write("job", script(), 0755);
    run_ = start_alone(
        tine_run({"-j4", directory_ / "job", ":::", "plain", "deaf", "stopped", "daemon"})
            .env("TMPDIR", directory_.path())
            .out(Redirect::null())
            .err(Redirect::null()));
    for (const char* name : {"plain", "deaf", "stopped", "daemon", "grandchild"}) {
      jobs_.push_back(pids_.of(name));
    }
    ASSERT_TRUE(eventually([&] { return state_of(jobs_[2]) == 'T'; }));
    runner_ = runner_of(run_.pid());
    ASSERT_NE(runner_, 0);
  }

  /// The grandchild has left its parent, its group and its session, as daemons do.
  [[nodiscard]] std::string script() const {
    return "#!/bin/sh\n"
           "case $1 in\n"
           "plain) " +
           pids_.tell("plain") +
           " exec sleep 600;;\n"
           "deaf) trap '' TERM INT HUP; " +
           pids_.tell("deaf") +
           " exec sleep 600;;\n"
           "stopped) " +
           pids_.tell("stopped") +
           " kill -STOP $$; exec sleep 600;;\n"
           "daemon) setsid setsid --fork sh -c '" +
           pids_.tell("grandchild") + " exec sleep 600'; " + pids_.tell("daemon") +
           " exec sleep 600;;\n"
           "esac\n";
  }

  void expect_nothing_left() {
    for (const pid_t pid : jobs_) {
      EXPECT_TRUE(eventually([&] { return !is_running(pid); })) << "pid " << pid << " lives on";
    }
    EXPECT_TRUE(eventually([&] { return !is_running(runner_); }));
  }

  TemporaryDirectory directory_;
  Pids pids_{directory_};
  Child run_;
  pid_t runner_ = 0;
  std::vector<pid_t> jobs_;
};

TEST_F(KilledRunTest, KilledSupervisorTakesAllJobsAlong) {
  ::kill(run_.pid(), SIGKILL);
  expect_nothing_left();
  EXPECT_EQ(status_of(run_).signal(), SIGKILL);
}

TEST_F(KilledRunTest, KilledRunnerTakesAllJobsAlongAndTheRunFails) {
  ::kill(runner_, SIGKILL);
  EXPECT_EQ(status_of(run_).code(), 255);
  expect_nothing_left();
}

TEST_F(KilledRunTest, KilledGroupTakesAllJobsAlong) {
  ::kill(-run_.pid(), SIGKILL);
  expect_nothing_left();
  EXPECT_EQ(status_of(run_).signal(), SIGKILL);
}

TEST_F(KilledRunTest, RunnerKilledAfterItsGuardianTakesAllJobsAlong) {
  const pid_t guardian = guardian_of(run_.pid());
  ASSERT_NE(guardian, 0);
  ::kill(guardian, SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_running(guardian); }));
  ::kill(runner_, SIGKILL);
  EXPECT_EQ(status_of(run_).code(), 255);
  expect_nothing_left();
}

TEST_F(KilledRunTest, TermEndsEvenTheDeafAndTheStopped) {
  ::kill(run_.pid(), SIGTERM);
  EXPECT_EQ(status_of(run_).code(), 255);
  expect_nothing_left();
  EXPECT_EQ(files_in(directory_.path()), 6u) << "the script and five pids";
}

TEST_F(KilledRunTest, InterruptEndsAllAndIsPassedOn) {
  ::kill(-run_.pid(), SIGINT);
  EXPECT_EQ(status_of(run_).signal(), SIGINT);
  expect_nothing_left();
}

using KillTest = CleanProcessTest;

TEST_F(KillTest, KilledWhileItGathersItsInputARunEnds) {
  auto run = start_alone(tine_run({"--bar", "true"}).in(Redirect::pipe()).err(Redirect::null()));
  pid_t runner = 0;
  ASSERT_TRUE(eventually([&] { return (runner = runner_of(run.pid())) != 0; }));
  ::kill(run.pid(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_running(runner); }));
  status_of(run);
}

TEST_F(KillTest, RunInsideARunDiesWithTheOutermost) {
  const TemporaryDirectory directory;
  Pids pids(directory);
  const std::string inner = std::string(TINE_COMMAND) + " run -j2 'if [ {} = a ]; then " +
                            pids.tell("job") + " else setsid setsid --fork sh -c \"" +
                            "echo \\$\\$ >" + (directory / "x") + "; mv " + (directory / "x") +
                            " " + (directory / "daemon") +
                            "; exec sleep 600\"; fi; exec sleep 600'" + " ::: a b";
  auto run = start_alone(tine_run({"-I", "@", inner + " # @", ":::", "1"}).out(Redirect::null()));
  const std::vector<pid_t> all{pids.of("job"), pids.of("daemon")};
  ::kill(-run.pid(), SIGKILL);
  for (const pid_t pid : all) {
    EXPECT_TRUE(eventually([&] { return !is_running(pid); }));
  }
  status_of(run);
}

TEST_F(KillTest, WhatAJobLeftBehindOutlivesANormalRun) {
  const TemporaryDirectory directory;
  Pids pids(directory);
  auto run = start_alone(
      tine_run({"setsid sh -c '" + pids.tell("left") + " exec sleep 600' >/dev/null 2>&1 & : {}",
                ":::", "1"}));
  EXPECT_EQ(status_of(run).code(), 0);
  const pid_t left = pids.of("left");
  EXPECT_TRUE(is_running(left));
}

TEST_F(KillTest, WhatAJobLeftBehindDiesWhenTheRunIsEnded) {
  const TemporaryDirectory directory;
  Pids pids(directory);
  auto run = start_alone(
      tine_run({"-j1",
                "if [ {} = 1 ]; then env -i setsid --fork sh -c '" + pids.tell("left") +
                    " exec sleep 600'; else " + pids.tell("job") + " exec sleep 600; fi",
                ":::", "1", "2"}));
  const pid_t left = pids.of("left");
  const pid_t job = pids.of("job");
  ::kill(run.pid(), SIGTERM);
  EXPECT_EQ(status_of(run).code(), 255);
  EXPECT_TRUE(eventually([&] { return !is_running(left) && !is_running(job); }));
}

}  // namespace
}  // namespace tine
