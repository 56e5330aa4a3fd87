// SPDX-License-Identifier: MIT

/// The rules of launching, by their numbers in the rule book of launching, for every way of making
/// a process. Rule 11's PDEATHSIG and rule 14 have no test: the library uses neither. Rules 1 and 6
/// are about cost and live in bench/. Rules 19 to 21: tests/command.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "spawn_methods.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::in_a_fork;
using test::named_values;
using test::TemporaryDirectory;

struct LaunchRulesTest : test::SpawnMethodsTest {};
INSTANTIATE_TEST_SUITE_P(By, LaunchRulesTest, test::every_spawn_method(), test::name_of_method);

std::string script(const std::string& text) { return "#!/bin/sh\n" + text + "\n"; }

// ---- Rule 2 ----

TEST_P(LaunchRulesTest, PathIsTheOneOfTheChildsEnvironment) {
  const TemporaryDirectory dir;
  dir.write("tine-test-tool", script("echo found"), 0755);
  EXPECT_FALSE(Command{"tine-test-tool"}.read());
  EXPECT_EQ(Command{"tine-test-tool"}.env("PATH", dir.path()).read().value(), "found");
  EXPECT_EQ(Command{"tine-test-tool"}.env_clear().env("PATH", dir.path()).read().value(), "found");
  EXPECT_FALSE(Command{"true"}.env("PATH", dir.path()).run());
}

TEST_P(LaunchRulesTest, WithoutPathTheStandardDirectoriesAreSearched) {
  EXPECT_TRUE(Command{"true"}.env_clear().run());
  EXPECT_TRUE(Command{"true"}.env_remove("PATH").run());
}

TEST_P(LaunchRulesTest, RelativeProgramIsFoundFromTheParentsDirectory) {
  const TemporaryDirectory here;
  const TemporaryDirectory there;
  here.write("tool", script("pwd"), 0755);
  std::filesystem::create_directory(here / "bin");
  here.write("bin/other", script("pwd"), 0755);
  in_a_fork([&] {
    ASSERT_EQ(::chdir(here.path().c_str()), 0);
    EXPECT_EQ(Command{"./tool"}.dir(there.path()).read().value(), there.path());
    EXPECT_EQ(Command{"other"}.env("PATH", "bin").dir(there.path()).read().value(), there.path());
    EXPECT_EQ(Command{"tool"}.env("PATH", ":/nowhere").dir(there.path()).read().value(),
              there.path());
  });
}

TEST_P(LaunchRulesTest, FirstRealErrorIsReportedAndNotTheLastAbsence) {
  const TemporaryDirectory dir;
  const std::string plain = dir.write("tine-test-tool", "text", 0644);
  const auto refused = Command{"tine-test-tool"}.env("PATH", dir.path() + ":/no/where").run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error->kind, ErrorKind::not_executable);
  EXPECT_EQ(refused.error().to_string(),
            "cannot execute 'tine-test-tool': Permission denied: the file is not executable "
            "(chmod +x makes it so)");
}

TEST_P(LaunchRulesTest, RefusedCandidateDoesNotHideAGoodOneBehindIt) {
  const TemporaryDirectory first;
  const TemporaryDirectory second;
  first.write("tine-test-tool", "text", 0644);
  second.write("tine-test-tool", script("echo second"), 0755);
  const std::string path = "/etc/passwd:" + first.path() + ":" + second.path();
  EXPECT_EQ(Command{"tine-test-tool"}.env("PATH", path).read().value(), "second");
}

// ---- Rule 3, 13: what is open in the child ----

TEST_P(LaunchRulesTest, OnlyStdioAndPassedDescriptorsAreOpen) {
  in_a_fork([] {
    for (const int fd : {3, 17, 18, 300, 4000}) ::dup2(0, fd);  // without CLOEXEC
    EXPECT_EQ(Command{child_program("print_fds")}.read().value(), "0 1 2");
    EXPECT_EQ(Command{child_program("print_fds")}
                  .fd(17, Redirect::fd(17))
                  .fd(5, Redirect::null())
                  .fd(300, Redirect::inherit())
                  .read()
                  .value(),
              "0 1 2 5 17 300");
  });
}

TEST_P(LaunchRulesTest, ReportOfFailureDoesNotCollideWithATarget) {
  for (const int target : {3, 5, 8, 255, 256, 257, 1000}) {
    const auto refused = Command{"/no/such/program"}.fd(target, Redirect::null()).start();
    ASSERT_FALSE(refused) << target;
    EXPECT_EQ(refused.error().kind, ErrorKind::not_found);
  }
}

TEST_P(LaunchRulesTest, DescriptorsOfTheLibraryMayHaveTheNumbersOfTargets) {
  Command command{"cat"};
  for (int fd = 3; fd < 40; ++fd) command.fd(fd, Redirect::bytes(std::to_string(fd)));
  for (int fd = 3; fd < 40; ++fd) {
    EXPECT_EQ(Command(command).arg("/dev/fd/" + std::to_string(fd)).read().value(),
              std::to_string(fd));
  }
}

// ---- Rule 5, 8: signals ----

TEST_P(LaunchRulesTest, ChildHasNoBlockedAndNoHandledSignals) {
  in_a_fork([] {
    for (int number = 1; number < 65; ++number) ::signal(number, SIG_DFL);
    for (const int number : {SIGHUP, SIGUSR2, SIGPIPE, SIGXFSZ}) ::signal(number, SIG_IGN);
    for (const int number : {SIGUSR1, SIGTERM, SIGRTMIN + 1, SIGCHLD}) ::signal(number, [](int) {});
    sigset_t blocked;
    sigfillset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, nullptr);
    // Ignored ones stay ignored, as nohup relies on, except the two that programs expect to die of.
    EXPECT_EQ(Command{child_program("print_signals")}.read().value(),
              "blocked:\nignored: " + std::to_string(SIGHUP) + " " + std::to_string(SIGUSR2) +
                  "\nhandled:");
  });
}

TEST_P(LaunchRulesTest, MaskIsRestoredAlsoWhenTheLaunchFails) {
  in_a_fork([] {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR2);
    sigprocmask(SIG_SETMASK, &wanted, nullptr);
    EXPECT_FALSE(Command{"/no/such/program"}.run());
    EXPECT_FALSE(Command{"true"}.dir("/no/such/directory").run());
    sigset_t now;
    sigprocmask(SIG_SETMASK, nullptr, &now);
    for (int number = 1; number < 65; ++number) {
      EXPECT_EQ(sigismember(&now, number), number == SIGUSR2 ? 1 : 0) << number;
    }
  });
}

// ---- Rule 7 ----

TEST_P(LaunchRulesTest, HandleIsAPidfdOfTheChild) {
  auto child = test::start_ready({child_program("ignore_term")});
  const std::string info = test::read_text("/proc/self/fdinfo/" + std::to_string(child.fd()));
  EXPECT_NE(info.find("Pid:\t" + std::to_string(child.pid()) + "\n"), std::string::npos) << info;
  EXPECT_EQ(::fcntl(child.fd(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(child.send(Signal::kill));
  EXPECT_TRUE(child.wait());
}

// ---- Rule 9 ----

TEST_P(LaunchRulesTest, ChildLeadsItsOwnGroupInOurSession) {
  auto who = named_values(Command{child_program("print_identity")}.read().value());
  EXPECT_EQ(who["pgid"], who["pid"]);
  EXPECT_EQ(who["sid"], std::to_string(::getsid(0)));
  EXPECT_EQ(who["ppid"], std::to_string(::getpid()));
  who = named_values(Command{child_program("print_identity")}.new_session().read().value());
  EXPECT_EQ(who["sid"], who["pid"]);
}

// ---- Rule 10, 11 ----

TEST_P(LaunchRulesTest, DirectoryIsEnteredBeforeTheUserChanges) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may change the user";
  const TemporaryDirectory closed;  // mode 0700
  const auto who = named_values(Command{child_program("print_identity")}
                                    .dir(closed.path())
                                    .user(65534)
                                    .group(65533)
                                    .groups({})
                                    .read()
                                    .value());
  EXPECT_EQ(who.at("cwd"), closed.path());
  EXPECT_EQ(who.at("uid"), "65534");
  EXPECT_EQ(who.at("gid"), "65533");
}

TEST_P(LaunchRulesTest, GroupsAreSetWhileStillAllowed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may change the user";
  EXPECT_EQ(Command({"id", "-G"}).user(65534).group(65533).groups({7, 8}).read().value(),
            "65533 7 8");
}

TEST_P(LaunchRulesTest, LoweredDescriptorLimitDoesNotDisturbTheShuffle) {
  in_a_fork([] {
    ::dup2(0, 40);
    ::dup2(0, 41);
    EXPECT_EQ(Command{child_program("print_fds")}
                  .limit(RLIMIT_NOFILE, 10)  // below the numbers that the swap needs
                  .fd(40, Redirect::fd(41))
                  .fd(41, Redirect::fd(40))
                  .read()
                  .value(),
              "0 1 2 40 41");
  });
}

// ---- Rule 12: placing descriptors ----

TEST_P(LaunchRulesTest, OutputAndErrorsCanBeSwapped) {
  in_a_fork([] {
    auto a = Pipe::create().value();
    auto b = Pipe::create().value();
    const Fd real_out{::fcntl(1, F_DUPFD_CLOEXEC, 10)};
    const Fd real_err{::fcntl(2, F_DUPFD_CLOEXEC, 10)};
    ::dup2(a.writer.fd().get(), 1);
    ::dup2(b.writer.fd().get(), 2);
    const auto ended = Command{"sh", "-c", "echo to-out; echo to-err >&2"}
                           .out(Redirect::fd(2))
                           .err(Redirect::fd(1))
                           .run();
    ::dup2(real_out.get(), 1);
    ::dup2(real_err.get(), 2);
    a.writer.close();
    b.writer.close();
    EXPECT_TRUE(ended);
    EXPECT_EQ(a.reader.read_all().value(), "to-err\n");
    EXPECT_EQ(b.reader.read_all().value(), "to-out\n");
  });
}

TEST_P(LaunchRulesTest, MappingsMayRotateInARing) {
  // 40 <- 41 <- 42 <- 43 <- 40: every source is somebody's target.
  in_a_fork([] {
    const TemporaryDirectory dir;
    for (int i = 0; i < 4; ++i) {
      const std::string path = dir.write(std::to_string(i), std::to_string(i));
      const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
      ::dup3(file.get(), 40 + i, O_CLOEXEC);
    }
    Command command{"cat", "/dev/fd/40", "/dev/fd/41", "/dev/fd/42", "/dev/fd/43"};
    for (int i = 0; i < 4; ++i) command.fd(40 + i, Redirect::fd(40 + (i + 1) % 4));
    EXPECT_EQ(command.read().value(), "1230");
  });
}

TEST_P(LaunchRulesTest, OneSourceMayHaveManyTargets) {
  const TemporaryDirectory dir;
  const Fd file{::open(dir.write("f", "").c_str(), O_RDWR | O_CLOEXEC | O_APPEND)};
  ASSERT_TRUE(Command({"sh", "-c", "echo 1; echo 2 >&2; echo 9 >&9"})
                  .out(Redirect::fd(file.get()))
                  .err(Redirect::fd(file.get()))
                  .fd(9, Redirect::fd(file.get()))
                  .run());
  EXPECT_EQ(test::read_text(dir / "f"), "1\n2\n9\n");
}

TEST_P(LaunchRulesTest, SourceThatIsItsOwnTargetStaysOpen) {
  const TemporaryDirectory dir;
  const Fd file{::open(dir.write("f", "kept").c_str(), O_RDONLY | O_CLOEXEC)};
  const int number = file.get();
  EXPECT_EQ(Command({"cat", "/dev/fd/" + std::to_string(number)})
                .fd(number, Redirect::fd(number))
                .read()
                .value(),
            "kept");
  EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);  // the parent's own flag has not changed
}

TEST_P(LaunchRulesTest, InheritedStdioIsBlockingAgain) {
  auto pipe = Pipe::create().value();
  const int writer = pipe.writer.fd().get();
  ::fcntl(writer, F_SETFL, ::fcntl(writer, F_GETFL) | O_NONBLOCK);
  // Three times the capacity: with O_NONBLOCK dd would fail with EAGAIN.
  auto child = Command{"dd", "if=/dev/zero", "bs=200000", "count=1", "status=none"}
                   .out(Redirect::fd(writer))
                   .start()
                   .value();
  pipe.writer.close();
  EXPECT_EQ(pipe.reader.read_all().value().size(), 200000u);
  EXPECT_TRUE(child.wait()->status.success());
}

// ---- Rule 15, 16, 17 ----

TEST_P(LaunchRulesTest, FailedChildRunsNoAtexitHandlers) {
  in_a_fork([] {
    static int events[2];
    ASSERT_EQ(::pipe2(events, O_CLOEXEC | O_NONBLOCK), 0);
    std::atexit([] { [[maybe_unused]] const auto n = ::write(events[1], "x", 1); });
    EXPECT_FALSE(Command{"/no/such/program"}.run());
    char byte = 0;
    EXPECT_EQ(::read(events[0], &byte, 1), -1);
  });
}

TEST_P(LaunchRulesTest, FailedChildIsReapedBeforeTheReport) {
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(Command{"/no/such/program"}.start());
  siginfo_t info{};
  EXPECT_EQ(::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL), -1);
}

TEST_P(LaunchRulesTest, OtherChildrenOfTheHostAreLeftToIt) {
  const pid_t others = ::fork();
  if (others == 0) ::_exit(5);
  ASSERT_TRUE(test::eventually([&] { return !test::is_running(others); }));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Command{"true"}.run());
  int status = 0;
  EXPECT_EQ(::waitpid(others, &status, 0), others);
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

}  // namespace
}  // namespace tine
