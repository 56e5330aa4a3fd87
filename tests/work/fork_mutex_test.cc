// SPDX-License-Identifier: MIT

/// ForkMutex: locked by threads, and by their copies in forked children.

#include "tine/fork_mutex.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latch>
#include <mutex>
#include <optional>
#include <semaphore>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/call.h"

namespace tine {
namespace {

using namespace std::chrono_literals;

struct ForkMutexTest : test::CleanProcessTest {};
struct ForkMutexThreadsTest : test::CleanProcessTest {};

static_assert(!std::is_copy_constructible_v<ForkMutex>);
constinit ForkMutex before_main;

/// A thread that holds a mutex for as long as this lives.
class Holder {
 public:
  explicit Holder(ForkMutex& mutex)
      : thread_([this, &mutex] {
          const std::lock_guard lock(mutex);
          held_.count_down();
          done_.acquire();
        }) {
    held_.wait();
  }
  ~Holder() { done_.release(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  std::latch held_{1};
  std::binary_semaphore done_{0};
  std::jthread thread_;
};

/// In a child, with threads here: its value, or that it hung.
template <class Body>
auto in_child(Body body) {
  return call({.timeout = 10s, .threads = ThreadPolicy::allow}, body);
}

// ---- At a fork ----

TEST_F(ForkMutexTest, HeldByAThreadItIsFreeInTheChildAndSaysSo) {
  ForkMutex mutex;
  const Holder holder(mutex);
  EXPECT_FALSE(mutex.try_lock());
  const auto abandoned = in_child([&] {
    const std::lock_guard lock(mutex);
    return mutex.was_abandoned();
  });
  EXPECT_EQ(abandoned.value(), true);
  EXPECT_EQ(in_child([&] { return mutex.try_lock() && mutex.was_abandoned(); }).value(), true);
  EXPECT_FALSE(mutex.try_lock()) << "what a child does with its copy is nothing to us";
}

template <class Fork>
void expect_free_in_the_child(Fork make_child) {
  ForkMutex mutex;
  std::optional<Holder> holder(mutex);
  const long pid = make_child();
  if (pid == 0) {
    ::alarm(10);
    mutex.lock();
    ::_exit(mutex.was_abandoned() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(static_cast<pid_t>(pid), &status, 0), pid);
  EXPECT_EQ(status, 0);
  holder.reset();
  const std::lock_guard lock(mutex);
  EXPECT_FALSE(mutex.was_abandoned());
}

TEST_F(ForkMutexTest, FreeInAChildOfForkWithoutHandlers) {
  expect_free_in_the_child([] { return ::_Fork(); });
}

TEST_F(ForkMutexTest, FreeInAChildOfARawClone) {
  expect_free_in_the_child(
      [] { return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); });
}

TEST_F(ForkMutexTest, FreeAndHealthyWhereNobodyHeldIt) {
  ForkMutex mutex;
  {
    const std::lock_guard lock(mutex);
  }
  EXPECT_EQ(call([&] {
              const std::lock_guard lock(mutex);
              return mutex.was_abandoned();
            }).value(),
            false);
}

TEST_F(ForkMutexTest, WithWaitersAtTheForkItIsFreeToo) {
  ForkMutex mutex;
  std::optional<Holder> holder(mutex);
  std::atomic<int> waiting{0};
  std::vector<std::jthread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      ++waiting;
      const std::lock_guard lock(mutex);
    });
  }
  while (waiting < 4) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(in_child([&] { const std::lock_guard lock(mutex); }));
  }
  holder.reset();  // and all waiters get it, or this never ends
}

TEST_F(ForkMutexTest, AbandonedUntilMarkedConsistent) {
  ForkMutex mutex;
  const Holder holder(mutex);
  const auto seen = in_child([&] {
    std::vector<bool> abandoned;
    for (int i = 0; i < 4; ++i) {
      const std::lock_guard lock(mutex);
      abandoned.push_back(mutex.was_abandoned());
      if (i == 1) mutex.mark_consistent();
    }
    return abandoned;
  });
  EXPECT_EQ(seen.value(), (std::vector{true, true, false, false}));
}

TEST_F(ForkMutexTest, GrandchildrenFindItFreeAgain) {
  ForkMutex mutex;
  const Holder holder(mutex);
  const auto seen = in_child([&] {
    mutex.lock();
    mutex.mark_consistent();  // the child holds it while it forks in turn
    return in_child([&] {
             const std::lock_guard lock(mutex);
             return mutex.was_abandoned();
           })
        .value();
  });
  EXPECT_EQ(seen.value(), true);
}

TEST_F(ForkMutexTest, ThreadThatForksMayLockItInTheChild) {
  ForkMutex mutex;
  const std::lock_guard lock(mutex);
  EXPECT_EQ(in_child([&] {
              const std::lock_guard again(mutex);
              return mutex.was_abandoned();
            }).value(),
            true);
}

TEST_F(ForkMutexTest, UnlockedInTheChildByTheThreadThatForkedNothingWasAbandoned) {
  ForkMutex mutex;
  mutex.lock();
  EXPECT_EQ(in_child([&] {
              mutex.unlock();
              const std::lock_guard lock(mutex);
              return mutex.was_abandoned();
            }).value(),
            false);
  mutex.unlock();
}

TEST_F(ForkMutexTest, UnlockFromBeforeTheForkDisturbsNoLaterHolder) {
  ForkMutex mutex;
  mutex.lock();
  EXPECT_EQ(in_child([&] {
              const Holder later(mutex);
              mutex.unlock();
              return mutex.try_lock();
            }).value(),
            false);
  mutex.unlock();
}

TEST_F(ForkMutexTest, LockersOfAChildExcludeEachOther) {
  ForkMutex mutex;
  const Holder holder(mutex);
  EXPECT_EQ(in_child([&] {
              int count = 0;
              {
                std::vector<std::jthread> threads;
                for (int i = 0; i < 4; ++i) {
                  threads.emplace_back([&] {
                    for (int k = 0; k < 10'000; ++k) {
                      const std::lock_guard lock(mutex);
                      ++count;
                    }
                  });
                }
              }
              return count;
            }).value(),
            40'000);
}

TEST_F(ForkMutexTest, ForksInAStormOfLocksHangNoChild) {
  ForkMutex mutex;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) const std::lock_guard lock(mutex);
    });
  }
  for (int i = 0; i < 200; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(10);
      for (int k = 0; k < 10; ++k) const std::lock_guard lock(mutex);
      ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
  }
}

TEST_F(ForkMutexTest, FirstUseInTheMiddleOfAForkHangsNoChild) {
  // In a fresh copy each time: what is made at the first use must not stay half made in a child.
  for (int i = 0; i < 100; ++i) {
    test::in_a_fork([] {
      ForkMutex mutex;
      std::latch together(2);
      std::jthread user([&] {
        together.arrive_and_wait();
        const std::lock_guard lock(mutex);
      });
      together.arrive_and_wait();
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::alarm(10);
        mutex.lock();
        ::_exit(0);
      }
      int status = -1;
      ASSERT_EQ(::waitpid(pid, &status, 0), pid);
      EXPECT_EQ(status, 0);
    });
  }
}

// ---- Threads ----

TEST_F(ForkMutexThreadsTest, OneAtATime) {
  constexpr int kThreads = 8;
  constexpr int kEach = 20'000;
  long count = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < kEach; ++k) {
          const std::lock_guard lock(before_main);
          ++count;
        }
      });
    }
  }
  EXPECT_EQ(count, kThreads * kEach);
  EXPECT_FALSE(before_main.was_abandoned());
}

TEST_F(ForkMutexThreadsTest, TryLockNeverWaitsAndSucceedsWhenFree) {
  ForkMutex mutex;
  {
    const Holder holder(mutex);
    EXPECT_FALSE(mutex.try_lock());
    mutex.unlock();  // not ours: nothing happens
    EXPECT_FALSE(mutex.try_lock());
  }
  EXPECT_TRUE(mutex.try_lock());
  mutex.unlock();
}

TEST_F(ForkMutexThreadsTest, TryLockersAndLockersExcludeEachOther) {
  ForkMutex mutex;
  long count = 0;
  std::atomic<long> expected{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int k = 0; k < 20'000; ++k) {
          std::unique_lock lock(mutex, std::defer_lock);
          if (i % 2 == 0) {
            lock.lock();
          } else if (!lock.try_lock()) {
            continue;
          }
          ++count;
          ++expected;
        }
      });
    }
  }
  EXPECT_EQ(count, expected);
}

TEST_F(ForkMutexThreadsTest, LocksManyWithoutDeadlock) {
  ForkMutex a;
  ForkMutex b;
  int count = 0;
  {
    std::jthread one([&] {
      for (int i = 0; i < 5000; ++i) {
        const std::scoped_lock lock(a, b);
        ++count;
      }
    });
    std::jthread two([&] {
      for (int i = 0; i < 5000; ++i) {
        const std::scoped_lock lock(b, a);
        ++count;
      }
    });
  }
  EXPECT_EQ(count, 10'000);
}

}  // namespace
}  // namespace tine
