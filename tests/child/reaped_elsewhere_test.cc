// SPDX-License-Identifier: MIT

/// Hosts that take the statuses of our children away: SIGCHLD ignored, or a loop around
/// waitpid(-1).

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "os/pidfd.h"
#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::in_a_fork;

struct ReapedElsewhereTest : test::CleanProcessTest {};
struct ReapedElsewhereThreadsTest : test::CleanProcessTest {};

/// Whether this kernel tells how a process ended that somebody else has reaped (Linux 6.15).
bool kernel_tells() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(3);
  const Fd pidfd = os::open_pidfd(pid);
  ::waitpid(pid, nullptr, 0);
  return os::exit_info(pidfd.get(), std::chrono::seconds(1)) == ExitStatus::exited(3);
}

/// The status from the kernel, or the honest error: never a wrong one.
void expect_code_or_honesty(const std::expected<Finished, Error>& ended, int code) {
  if (kernel_tells()) {
    ASSERT_TRUE(ended) << ended.error().to_string();
    EXPECT_EQ(ended->status.code(), code);
  } else {
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().kind, ErrorKind::reaped_elsewhere);
  }
}

TEST_F(ReapedElsewhereTest, AZombieThatNobodyReapsTellsItsStatus) {
  for (const auto& [end, status] :
       {std::pair{+[] { ::_exit(3); }, ExitStatus::exited(3)},
        std::pair{+[] { ::raise(SIGKILL); }, ExitStatus::signaled(SIGKILL, false)}}) {
    const pid_t pid = ::fork();
    if (pid == 0) end();
    const Fd pidfd = os::open_pidfd(pid);
    os::poll_pidfd(pidfd.get(), -1, {});
    EXPECT_EQ(os::zombie_status(pidfd.get(), pid), status);
    ::waitpid(pid, nullptr, 0);
    EXPECT_FALSE(os::zombie_status(pidfd.get(), pid));
  }
}

TEST_F(ReapedElsewhereTest, HostThatIgnoresSigchld) {
  in_a_fork([] {
    ::signal(SIGCHLD, SIG_IGN);
    auto child = Command({child_program("exit_with"), 5}).start().value();
    const auto ended = child.wait();
    ::signal(SIGCHLD, SIG_DFL);
    expect_code_or_honesty(ended, 5);
  });
}

TEST_F(ReapedElsewhereTest, HostThatWantsNoZombies) {
  in_a_fork([] {
    struct sigaction action{};
    action.sa_handler = SIG_DFL;
    action.sa_flags = SA_NOCLDWAIT;
    ::sigaction(SIGCHLD, &action, nullptr);
    auto child = Command({child_program("die_by"), SIGUSR1}).start().value();
    const auto ended = child.wait();
    ::signal(SIGCHLD, SIG_DFL);
    if (kernel_tells()) {
      EXPECT_EQ(ended->status.signal(), SIGUSR1);
    }
  });
}

TEST_F(ReapedElsewhereTest, StatusTakenByTheHostItself) {
  auto child = Command({child_program("exit_with"), 6}).start().value();
  ASSERT_EQ(::waitpid(child.pid(), nullptr, 0), child.pid());
  const auto ended = child.wait();
  expect_code_or_honesty(ended, 6);
  const auto again = child.wait();
  EXPECT_EQ(ended.has_value(), again.has_value());
}

TEST_F(ReapedElsewhereTest, CaptureStillHasTheOutput) {
  in_a_fork([] {
    ::signal(SIGCHLD, SIG_IGN);
    const auto output = Command({"echo", "text"}).capture();
    ::signal(SIGCHLD, SIG_DFL);
    if (output) {
      EXPECT_EQ(output->out, "text\n");
    } else {
      EXPECT_EQ(output.error().cause, Cause::lost);
      EXPECT_EQ(output.error().error->kind, ErrorKind::reaped_elsewhere);
      EXPECT_EQ(output.error().output, "text\n");
    }
  });
}

TEST_F(ReapedElsewhereTest, TerminateAndDestructorAreNotConfused) {
  in_a_fork([] {
    ::signal(SIGCHLD, SIG_IGN);
    auto child = Command({"sleep", 1000}).start().value();
    const auto ended = child.terminate();
    {
      auto other = Command({"sleep", 1000}).start().value();
    }
    ::signal(SIGCHLD, SIG_DFL);
    if (ended) {
      EXPECT_EQ(ended->status.signal(), SIGTERM);
    }
  });
}

TEST_F(ReapedElsewhereThreadsTest, ThreadThatReapsEverything) {
  std::atomic<bool> done{false};
  std::jthread reaper([&] {
    while (!done) {
      if (::waitpid(-1, nullptr, WNOHANG) <= 0) std::this_thread::yield();
    }
  });
  int told = 0;
  for (int i = 0; i < 200; ++i) {
    auto child = Command({child_program("exit_with"), i}).start();
    ASSERT_TRUE(child) << child.error().to_string();
    const auto ended = child->wait();
    if (ended) {
      EXPECT_EQ(ended->status.code(), i);
      ++told;
    } else {
      EXPECT_EQ(ended.error().kind, ErrorKind::reaped_elsewhere);
    }
  }
  // A failed launch has a child too, which the reaper may take before the library does.
  for (int i = 0; i < 50; ++i) {
    const auto refused = Command{"/no/such/program"}.start();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::not_found);
  }
  done = true;
  reaper.join();
  if (kernel_tells()) {
    EXPECT_EQ(told, 200);
  }
}

}  // namespace
}  // namespace tine
