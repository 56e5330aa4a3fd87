// SPDX-License-Identifier: MIT

/// Launching from many threads at once, and under a rain of signals.

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "spawn_methods.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;

struct LaunchThreadsTest : test::SpawnMethodsTest {};
INSTANTIATE_TEST_SUITE_P(By, LaunchThreadsTest, test::every_spawn_method(), test::name_of_method);

constexpr int kThreads = 64;

void in_threads(const std::function<void(int)>& body) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([&body, i] { body(i); });
}

TEST_P(LaunchThreadsTest, StatusesAndOutputsAreNotMixed) {
  std::atomic<int> wrong{0};
  in_threads([&](int thread) {
    for (int i = 0; i < 4; ++i) {
      const std::string text = std::to_string(thread) + "-" + std::to_string(i);
      const auto said =
          Command({"sh", "-c", "echo $0; echo e$0 >&2; exit $1", text, std::to_string(thread)})
              .unchecked()
              .capture();
      const bool right = said && said->out == text + "\n" && said->err == "e" + text + "\n" &&
                         said->status.code() == thread;
      if (!right) ++wrong;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST_P(LaunchThreadsTest, NoDescriptorLeaksIntoSiblings) {
  std::atomic<int> wrong{0};
  in_threads([&](int) {
    for (int i = 0; i < 4; ++i) {
      const auto fds = Command({child_program("print_fds")}).input("x").capture();
      if (!fds || fds->out != "0 1 2\n") ++wrong;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST_P(LaunchThreadsTest, FailuresInBetweenDisturbNobody) {
  std::atomic<int> wrong{0};
  in_threads([&](int thread) {
    for (int i = 0; i < 4; ++i) {
      if ((thread + i) % 2 == 0) {
        const auto refused = Command{"/no/such/program"}.start();
        if (refused || refused.error().kind != ErrorKind::not_found) ++wrong;
      } else if (!Command{"true"}.run()) {
        ++wrong;
      }
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST_P(LaunchThreadsTest, ConcurrentTimeoutsFindTheirOwnChild) {
  std::atomic<int> wrong{0};
  in_threads([&](int thread) {
    const auto ended = Command({"sleep", thread % 2 == 0 ? "1000" : "0"})
                           .timeout(std::chrono::seconds(thread % 2 == 0 ? 0 : 100) +
                                    std::chrono::milliseconds(30))
                           .run();
    const bool right =
        thread % 2 == 0 ? !ended && ended.error().cause == Cause::timed_out : ended.has_value();
    if (!right) ++wrong;
  });
  EXPECT_EQ(wrong, 0);
}

TEST_P(LaunchThreadsTest, SendIsSafeBesideAWait) {
  for (int i = 0; i < 50; ++i) {
    auto child = Command({"sleep", 1000}).start().value();
    std::jthread sender([&] { EXPECT_TRUE(child.send(Signal::terminate)); });
    EXPECT_EQ(child.wait()->status.signal(), SIGTERM);
  }
}

std::atomic<pid_t> host_pid{0};
std::atomic<int> handled{0};
std::atomic<int> handled_elsewhere{0};

TEST_P(LaunchThreadsTest, SignalsDuringALaunchReachTheHostAlone) {
  // Handlers run in the host; one that ran in a vfork child would do so in the host's memory.
  host_pid = ::getpid();
  handled = 0;
  handled_elsewhere = 0;
  struct sigaction action{};
  action.sa_handler = [](int) { ++(::getpid() == host_pid ? handled : handled_elsewhere); };
  struct sigaction before{};
  ::sigaction(SIGUSR1, &action, &before);  // without SA_RESTART: every wait is interrupted
  std::atomic<bool> done{false};
  const pthread_t launcher = ::pthread_self();
  std::jthread rain([&] {
    while (!done) {
      ::kill(::getpid(), SIGUSR1);
      ::pthread_kill(launcher, SIGUSR1);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 500; ++i) {
    auto child = Command({child_program("exit_with"), i % 256}).start();
    ASSERT_TRUE(child) << child.error().to_string();
    const auto ended = child->wait();
    ASSERT_TRUE(ended) << ended.error().to_string();
    ASSERT_EQ(ended->status.code(), i % 256);
  }
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(Command({"echo", "x"}).capture()->out, "x\n");
    ASSERT_EQ(Command{"/no/such/program"}.start().error().kind, ErrorKind::not_found);
  }
  done = true;
  rain.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_GT(handled, 0);
  EXPECT_EQ(handled_elsewhere, 0);
}

TEST_P(LaunchThreadsTest, FirstLaunchesOfAProcessShareOneGuardian) {
  auto told = TypedPipe<int>::create().value();
  const pid_t pid = ::fork();  // a copy has no guardian yet: all its threads want the first
  if (pid == 0) {
    std::atomic<int> failed{0};
    in_threads([&](int) {
      if (!Command{"true"}.run()) ++failed;
    });
    [[maybe_unused]] const auto sent = told.send(failed);
    ::_exit(0);
  }
  told.writer.close();
  EXPECT_EQ(told.receive().value(), 0);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace tine
