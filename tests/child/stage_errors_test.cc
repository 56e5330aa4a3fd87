// SPDX-License-Identifier: MIT

/// What is said when a step before exec fails, or the system has no more to give.

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "spawn_methods.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::in_a_fork;
using test::TemporaryDirectory;

struct StageErrorsTest : test::SpawnMethodsTest {};
INSTANTIATE_TEST_SUITE_P(By, StageErrorsTest, test::every_spawn_method(), test::name_of_method);

void expect_refused(const Command& command, ErrorKind kind, Stage stage, const std::string& text) {
  const auto started = command.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().kind, kind) << static_cast<int>(started.error().kind);
  EXPECT_EQ(started.error().stage, stage);
  EXPECT_EQ(started.error().to_string(), text);
}

/// A copy of this process that belongs to an unprivileged user of its own.
void as_nobody(const std::function<void()>& body) {
  in_a_fork([&] {
    constexpr uid_t kNobodyElses = 54321;
    ASSERT_EQ(::setresgid(kNobodyElses, kNobodyElses, kNobodyElses), 0);
    ASSERT_EQ(::setresuid(kNobodyElses, kNobodyElses, kNobodyElses), 0);
    body();
  });
}

TEST_P(StageErrorsTest, Directory) {
  expect_refused(Command{"true"}.dir("/no/such/dir"), ErrorKind::not_found, Stage::cwd,
                 "cannot change directory to '/no/such/dir': No such file or directory");
  expect_refused(Command{"true"}.dir("/etc/passwd"), ErrorKind::system, Stage::cwd,
                 "cannot change directory to '/etc/passwd': Not a directory");
}

TEST_P(StageErrorsTest, IdentityOfSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become nobody first";
  as_nobody([] {
    expect_refused(Command{"true"}.user(0), ErrorKind::not_permitted, Stage::uid,
                   "cannot set the user id of 'true': Operation not permitted");
    expect_refused(Command{"true"}.group(0), ErrorKind::not_permitted, Stage::gid,
                   "cannot set the group id of 'true': Operation not permitted");
    expect_refused(Command{"true"}.groups({0}), ErrorKind::not_permitted, Stage::groups,
                   "cannot set the groups of 'true': Operation not permitted");
  });
}

TEST_P(StageErrorsTest, ResourceLimit) {
  expect_refused(Command{"true"}.limit(99, 1), ErrorKind::invalid_argument, Stage::resource_limit,
                 "cannot set a resource limit of 'true': Invalid argument: resource 99");
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become nobody first";
  as_nobody([] {
    const rlimit low{100, 100};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    expect_refused(Command{"true"}.limit(RLIMIT_NOFILE, 101), ErrorKind::not_permitted,
                   Stage::resource_limit,
                   "cannot set a resource limit of 'true': Operation not permitted: resource 7: "
                   "only root may raise a hard limit");
  });
}

TEST_P(StageErrorsTest, Affinity) {
  expect_refused(Command{"true"}.affinity({60000}), ErrorKind::invalid_argument, Stage::affinity,
                 "cannot set the CPU affinity of 'true': Invalid argument");
}

TEST_P(StageErrorsTest, Priority) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become nobody first";
  as_nobody([] {
    expect_refused(Command{"true"}.nice(-5), ErrorKind::not_permitted, Stage::nice,
                   "cannot set the priority of 'true': Permission denied");
  });
}

TEST_P(StageErrorsTest, ForegroundWithoutATerminal) {
  in_a_fork([] {
    ASSERT_GT(::setsid(), 0);  // leaves the terminal, if there is one
    expect_refused(Command{"true"}.foreground(), ErrorKind::system, Stage::foreground,
                   "cannot hand the terminal to 'true': No such device or address: this process "
                   "has no controlling terminal");
  });
}

TEST_P(StageErrorsTest, DescriptorThatIsNotOpen) {
  expect_refused(Command{"true"}.fd(5, Redirect::fd(999)), ErrorKind::system, Stage::descriptors,
                 "cannot set up the descriptors of 'true': Bad file descriptor: descriptor 999");
  expect_refused(Command{"true"}.fd(5, Redirect::fd(4000)).fd(4000, Redirect::null()),
                 ErrorKind::system, Stage::descriptors,
                 "cannot set up the descriptors of 'true': Bad file descriptor: descriptor 4000");
}

TEST_P(StageErrorsTest, FileThatCannotBeOpened) {
  expect_refused(Command{"true"}.in(Redirect::read("/no/such/file")), ErrorKind::not_found,
                 Stage::open, "cannot open '/no/such/file': No such file or directory");
  expect_refused(Command{"true"}.out(Redirect::create("/etc/passwd")), ErrorKind::system,
                 Stage::open, "cannot open '/etc/passwd': File exists");
  expect_refused(Command{"true"}.out(Redirect::write("/tmp")), ErrorKind::is_directory, Stage::open,
                 "cannot open '/tmp': Is a directory");
}

TEST_P(StageErrorsTest, RequestThatMakesNoSense) {
  const auto refused = [](const Command& command, const std::string& text) {
    expect_refused(command, ErrorKind::invalid_argument, Stage::prepare, text);
  };
  using namespace std::string_literals;
  refused(Command::of({}),
          "cannot prepare: the request makes no sense: a command needs at least a "
          "program");
  refused({"true", "a\0b"s},
          "cannot prepare 'true': the request makes no sense: an argument "
          "contains a NUL byte");
  const std::string environment =
      "cannot prepare 'true': the request makes no sense: the name of an environment variable is "
      "empty or contains '=', or it or its value contains a NUL byte";
  refused(Command{"true"}.env("A=B", "c"), environment);
  refused(Command{"true"}.env("", "c"), environment);
  refused(Command{"true"}.env("A", "b\0c"s), environment);
  refused(Command{"true"}.env_remove("A=B"), environment);
  refused(Command{"true"}.fd(-1, Redirect::null()),
          "cannot prepare 'true': the request makes no "
          "sense: a negative descriptor cannot be "
          "redirected");
  refused(Command{"true"}.affinity({-1}),
          "cannot prepare 'true': the request makes no sense: no such CPU");
}

// ---- Exhaustion ----

constexpr int kOpen = 300;

/// In a forked copy: 0 to 299 are open and nothing else is.
void open_exactly_300() {
  for (int fd = 0; fd < kOpen; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) ::dup3(0, fd, O_CLOEXEC);
  }
  ::close_range(kOpen, ~0u, 0);
}

rlim_t leave_descriptors(int free) {
  const rlimit limit{static_cast<rlim_t>(kOpen + free), 500};
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  return limit.rlim_cur;
}

TEST_P(StageErrorsTest, DescriptorsUsedUpAtEveryPointOfALaunch) {
  in_a_fork([] {
    ASSERT_TRUE(Command{"true"}.run());  // starts the guardian of this copy
    open_exactly_300();
    int refused = 0;
    for (int free = 0; free < 12; ++free) {
      const rlim_t soft = leave_descriptors(free);
      const auto result = Command({"cat"}).input("text").capture();
      if (result) {
        EXPECT_EQ(result->out, "text");
        continue;
      }
      ++refused;
      const Error& error = *result.error().error;
      EXPECT_EQ(error.kind, ErrorKind::too_many_files) << error.to_string();
      EXPECT_NE(error.to_string().find("Too many open files: RLIMIT_NOFILE is " +
                                       std::to_string(soft) + ", at most 500"),
                std::string::npos)
          << error.to_string();
    }
    EXPECT_GT(refused, 2);
    EXPECT_LT(refused, 12);
    EXPECT_EQ(::fcntl(0, F_DUPFD_CLOEXEC, 0), kOpen);  // no attempt has left anything open
  });
}

TEST_P(StageErrorsTest, NoDescriptorForTheGuardian) {
  in_a_fork([] {
    open_exactly_300();
    const rlim_t soft = leave_descriptors(1);
    expect_refused({"true"}, ErrorKind::too_many_files, Stage::guardian,
                   "cannot start the guardian: Too many open files: "
                   "pidfd_open of this process failed (Linux before 5.3?); RLIMIT_NOFILE is " +
                       std::to_string(soft) + ", at most 500");
  });
}

TEST_P(StageErrorsTest, ProcessesUsedUp) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  as_nobody([] {
    ASSERT_TRUE(Command{"true"}.run());
    const rlimit one{1, 1};
    ASSERT_EQ(::setrlimit(RLIMIT_NPROC, &one), 0);
    expect_refused({"true"}, ErrorKind::too_many_processes, Stage::fork,
                   "cannot create a process for 'true': Resource temporarily unavailable: "
                   "RLIMIT_NPROC is 1, at most 1; or the pids limit of the cgroup, or "
                   "kernel.pid_max, is used up");
  });
}

TEST_P(StageErrorsTest, ProcessesOfTheNewUserUsedUp) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  constexpr uid_t kOther = 54322;
  auto other = test::start_ready(
      Command({child_program("sleep_until_eof")}).in(Redirect::pipe()).user(kOther));
  expect_refused(Command{"/bin/true"}.user(kOther).limit(RLIMIT_NPROC, 0),
                 ErrorKind::too_many_processes, Stage::exec,
                 "cannot execute '/bin/true': Resource temporarily unavailable: its user already "
                 "has as many processes as RLIMIT_NPROC allows");
  other.in().reset();
  EXPECT_TRUE(other.wait());
}

TEST_P(StageErrorsTest, NoMemoryForTheProgram) {
  const auto started = Command{"/bin/true"}.limit(RLIMIT_AS, 4096).unchecked().run();
  if (started) {  // the kernel notices only when there is no way back
    EXPECT_TRUE(started->status.signal());
    return;
  }
  EXPECT_EQ(started.error().error->kind, ErrorKind::out_of_memory);
  EXPECT_EQ(started.error().to_string(),
            "cannot execute '/bin/true': Cannot allocate memory: or a memory limit of the child is "
            "too low for the program");
}

}  // namespace
}  // namespace tine
