// SPDX-License-Identifier: MIT
//
// What becomes of a pool when its keeper or its host does not go on.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pool.h"
#include "tine/process.h"
#include "work/pool_tasks.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace test;

struct PoolKeeperTest : PoolFixture {};

TEST_F(PoolKeeperTest, B096_KilledKeeperCostsWhatRunsAndIsReplaced) {
  Pool pool{{.workers = 2}};
  const pid_t worker = pool.submit(own_pid).get().value();
  auto running = pool.submit(hang);
  wait_for(kBegun, 1);
  auto kept = pool.submit(hang);
  wait_for(kBegun, 2);
  auto queued = pool.submit(twice, 1);
  (void)pool.submit([] { ++shared[kCount]; });
  ::kill(parent_of(worker), SIGKILL);
  EXPECT_EQ(running.get().error().cause, Cause::lost);
  EXPECT_EQ(kept.get().error().cause, Cause::lost);
  EXPECT_EQ(queued.get().value(), 2);
  EXPECT_EQ(pool.submit(twice, 21).get().value(), 42);
  EXPECT_TRUE(eventually([&] { return !is_running(worker) && shared[kCount].load() == 1; }));
}

/// A pool of one worker, which is busy, with `count` tasks behind that; and without a keeper.
struct Orphaned {
  explicit Orphaned(int count, std::size_t size = 1) : pool{{.workers = 1}} {
    const pid_t worker = pool.submit(own_pid).get().value();
    running.emplace(pool.submit(hang));
    wait_for(kBegun, 1);
    for (int i = 0; i < count; ++i) {
      queued.push_back(pool.submit(
          [](const std::string& text, int n) {
            const auto place = static_cast<std::size_t>(shared[kCount]++);
            if (place < 40) shared[10 + place] = n;
            return text.size() + static_cast<std::size_t>(n);
          },
          std::string(size, 'x'), i));
    }
    keeper = parent_of(worker);
  }
  void kill_keeper() const {
    ::kill(keeper, SIGKILL);
    EXPECT_TRUE(eventually([&] { return !is_running(keeper); }));
  }

  Pool pool;
  pid_t keeper = -1;
  std::optional<PoolFuture<void>> running{};
  std::vector<PoolFuture<std::size_t>> queued{};
};

TEST_F(PoolKeeperTest, B096_WhatWaitsWhenTheKeeperIsKilledIsRunOnceAndInOrder) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100'000}}) {
    for (auto& number : shared) number = 0;
    Orphaned orphaned(40, size);
    orphaned.kill_keeper();
    for (std::size_t i = 0; i < 40; ++i) ASSERT_EQ(orphaned.queued[i].get().value(), size + i);
    EXPECT_EQ(shared[kCount].load(), 40);
    for (int i = 0; i < 40; ++i) EXPECT_EQ(shared[10 + static_cast<std::size_t>(i)].load(), i);
    EXPECT_EQ(orphaned.running->get().error().cause, Cause::lost);
    EXPECT_EQ(orphaned.pool.stats().done, 40u);
  }
}

TEST_F(PoolKeeperTest, B096_AMapLosesNoTaskThatWaitsWhenTheKeeperIsKilled) {
  Orphaned orphaned(40);
  const pid_t killer = ::fork();
  if (killer == 0) {
    // When the map has put its part behind the others, its host goes to sleep.
    while (process_info(::getppid())->state != 'S') ::sched_yield();
    ::kill(orphaned.keeper, SIGKILL);
    ::_exit(0);
  }
  const auto results = orphaned.pool.map(std::vector<int>{1, 2, 3}, twice);
  for (const auto& result : results) {
    EXPECT_TRUE(result || result.error().cause == Cause::lost);
  }
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(orphaned.queued[i].get().value(), 1 + i);
  EXPECT_EQ(::waitpid(killer, nullptr, 0), killer);
}

TEST_F(PoolKeeperTest, B096_WhoWaitedBeforeTheKeeperWasThereIsWokenByItsDeath) {
  const pid_t killer = ::fork();
  if (killer == 0) {
    wait_for(kBegun, 1);
    ::kill(shared[kPid], SIGKILL);
    ::_exit(0);
  }
  {
    Pool pool{{.workers = 1}};
    const auto failed = pool.submit([] {
                              shared[kPid] = ::getppid();
                              hang();
                            })
                            .get();
    EXPECT_EQ(failed.error().cause, Cause::lost);
  }
  EXPECT_EQ(::waitpid(killer, nullptr, 0), killer);
}

TEST_F(PoolKeeperTest, B096_SoDoesTheKeeperBehindIt) {
  Orphaned orphaned(10);
  orphaned.kill_keeper();
  EXPECT_EQ(orphaned.queued[0].get().value(), 1u);
  auto second = orphaned.pool.submit(hang);
  wait_for(kBegun, 2);
  auto queued = orphaned.pool.submit(twice, 4);
  ::kill(parent_of(orphaned.pool.worker_pids().at(0)), SIGKILL);
  EXPECT_EQ(queued.get().value(), 8);
  EXPECT_EQ(second.get().error().cause, Cause::lost);
  for (std::size_t i = 1; i < 10; ++i) EXPECT_EQ(orphaned.queued[i].get().value(), 1 + i);
}

TEST_F(PoolKeeperTest, B096_AShutdownMakesAKeeperForWhatWaits) {
  std::vector<PoolFuture<std::size_t>> futures;
  {
    Orphaned orphaned(10);
    orphaned.kill_keeper();
    futures = std::move(orphaned.queued);
  }
  EXPECT_EQ(values(futures).size(), 10u);
}

TEST_F(PoolKeeperTest, B096_CancelAndDescriptorsGoOnWithTheTask) {
  Orphaned orphaned(3);
  const int before = orphaned.queued[0].fd();
  orphaned.kill_keeper();
  EXPECT_TRUE(orphaned.queued[2].cancel());
  EXPECT_EQ(orphaned.running->get().error().cause, Cause::lost);
  for (const std::size_t i : {0, 1}) {
    pollfd end{orphaned.queued[i].fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&end, 1, 10'000), 1);
    EXPECT_TRUE(orphaned.queued[i].ready());
    EXPECT_FALSE(orphaned.queued[i].cancel());
  }
  EXPECT_EQ(orphaned.queued[0].fd(), before);
  EXPECT_EQ(orphaned.queued[2].get().error().cause, Cause::cancelled);
  auto moved = orphaned.pool.submit(hang);
  EXPECT_TRUE(moved.cancel());
}

TEST_F(PoolKeeperTest, B096_PausedTasksKeepTheirAttempts) {
  Pool pool{{.workers = 1, .retries = 1}};
  const pid_t keeper = parent_of(pool.submit(own_pid).get().value());
  auto paused = pool.submit({.retry_delay = [](int) { return std::chrono::nanoseconds(1h); }}, [] {
    if (++shared[kCount] < 3) throw std::runtime_error("not yet");
  });
  EXPECT_TRUE(eventually([&] { return pool.stats().queued == 1 && shared[kCount].load() == 1; }));
  ::kill(keeper, SIGKILL);
  const auto failed = paused.get();
  EXPECT_EQ(failed.error().attempts, 2);
  EXPECT_EQ(failed.error().message, "not yet");
}

/// A host that is to be killed: its pool has a worker that is busy and one that is idle.
pid_t start_host(void (*then)()) {
  const pid_t host = ::fork();
  if (host != 0) return host;
  Pool pool{{.workers = 2}};
  auto idle = pool.submit([] { shared[kOther] = ::getpid(); });
  auto busy = pool.submit([] {
    shared[kPid] = ::getpid();
    hang();
  });
  wait_for(kBegun, 1);
  (void)idle.wait_for(10s);
  then();
  ::_exit(0);
}

void expect_no_worker_is_left(pid_t host) {
  EXPECT_TRUE(eventually(
      [] { return !is_running(shared[kOther].load()) && !is_running(shared[kPid].load()); }));
  ::kill(host, SIGKILL);
  while (::waitpid(host, nullptr, 0) < 0 && errno == EINTR) {
  }
}

TEST_F(PoolKeeperTest, B090_WorkersDieWithAKilledHost) {
  const pid_t host = start_host([] { ::raise(SIGKILL); });
  expect_no_worker_is_left(host);
}

TEST_F(PoolKeeperTest, B071_WorkersDieWithAHostThatExits) {
  const pid_t host = start_host([] { ::_exit(0); });
  expect_no_worker_is_left(host);
}

TEST_F(PoolKeeperTest, WorkersDieWhenTheHostBecomesAnotherProgram) {
  const pid_t host = start_host([] { ::execl("/bin/sleep", "sleep", "1000", nullptr); });
  wait_for(kBegun, 1);
  expect_no_worker_is_left(host);
}

TEST_F(PoolKeeperTest, APoolIsInertInAForkOfItsHost) {
  Pool pool{{.workers = 1}};
  auto future = pool.submit(twice, 1);
  in_a_fork([&] {
    const Pool taken = std::move(pool);
    PoolFuture<int> mine = std::move(future);
    EXPECT_FALSE(mine.cancel());
    EXPECT_EQ(mine.get().error().cause, Cause::lost);
    EXPECT_TRUE(taken.worker_pids().empty());
    auto refused = const_cast<Pool&>(taken).submit(twice, 2).get();
    EXPECT_EQ(refused.error().error.value().kind, ErrorKind::not_owner);
  });
  EXPECT_EQ(future.get().value(), 2);
  EXPECT_EQ(pool.submit(twice, 3).get().value(), 6);
}

TEST_F(PoolKeeperTest, B101_TheHostsOwnChildrenAreLeftAlone) {
  Pool pool{{.workers = 1}};
  const pid_t own = ::fork();
  if (own == 0) ::_exit(7);
  EXPECT_EQ(pool.submit(twice, 1).get().value(), 2);
  int status = 0;
  EXPECT_EQ(::waitpid(own, &status, 0), own);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(PoolKeeperTest, B097_WorkersHaveNoDescriptorsOfTheirSiblings) {
  Pool pool{{.workers = 4}};
  std::vector<PoolFuture<int>> futures;
  for (int i = 0; i < 4; ++i) {
    futures.push_back(pool.submit([] {
      ++shared[kBegun];
      wait_for(kBegun, 4);
      int open = 0;
      for (int fd = 0; fd < 1000; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
      return open;
    }));
  }
  const auto counts = values(futures);
  EXPECT_EQ(std::set(counts.begin(), counts.end()).size(), 1u);
}

TEST_F(PoolKeeperTest, B098_DescriptorsOfTheHostDoNotGrow) {
  Pool pool{{.workers = 2}};
  const auto count = [] {
    int open = 0;
    for (int fd = 0; fd < 1000; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return open;
  };
  const int before = count();
  for (int i = 0; i < 20; ++i) {
    auto future = pool.submit(twice, i);
    EXPECT_GE(future.fd(), 0);
    EXPECT_TRUE(future.get());
    EXPECT_FALSE(pool.submit([] { ::raise(SIGKILL); }).get());
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace tine
