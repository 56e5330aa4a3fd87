// SPDX-License-Identifier: MIT

/// The number that tells a process from its ancestors.

#include "os/fork_generation.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latch>
#include <set>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "support/refuse_call.h"

namespace tine {
namespace {

struct ForkGenerationTest : test::CleanProcessTest {};
struct ForkGenerationNoAsanTest : test::CleanProcessTest {};

template <class Fork>
void expect_larger_in_a_child_and_its_child(Fork make_child) {
  const auto before = os::fork_generation();
  EXPECT_NE(before, 0u);
  const long pid = make_child();
  if (pid == 0) {
    const auto own = os::fork_generation();
    if (own <= before || os::fork_generation() != own) ::_exit(1);
    const long inner = make_child();
    if (inner == 0) ::_exit(os::fork_generation() > own ? 0 : 1);
    int status = -1;
    ::waitpid(static_cast<pid_t>(inner), &status, 0);
    ::_exit(status == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(static_cast<pid_t>(pid), &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(os::fork_generation(), before);
}

TEST_F(ForkGenerationTest, GrowsFromForkToFork) {
  expect_larger_in_a_child_and_its_child([] { return ::fork(); });
}

TEST_F(ForkGenerationTest, GrowsFromRawCloneToRawClone) {
  expect_larger_in_a_child_and_its_child(
      [] { return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); });
}

// Where it has been asked before in this process, as when all tests run in one, the page is there.
TEST_F(ForkGenerationNoAsanTest, GrowsWithForkWhereTheKernelDoesNotWipe) {
  test::in_a_fork([] {
    test::refuse_call(SYS_madvise, MADV_WIPEONFORK);
    expect_larger_in_a_child_and_its_child([] { return ::fork(); });
  });
}

TEST_F(ForkGenerationTest, ThreadsOfAYoungChildAgree) {
  [[maybe_unused]] const auto parents = os::fork_generation();
  for (int i = 0; i < 50; ++i) {
    test::in_a_fork([] {
      constexpr std::size_t kThreads = 4;
      std::latch together(kThreads);
      std::vector<std::uint32_t> seen(kThreads);
      {
        std::vector<std::jthread> threads;
        for (auto& number : seen) {
          threads.emplace_back([&] {
            together.arrive_and_wait();
            number = os::fork_generation();
          });
        }
      }
      EXPECT_EQ(std::set<std::uint32_t>(seen.begin(), seen.end()).size(), 1u);
    });
  }
}

}  // namespace
}  // namespace tine
