// SPDX-License-Identifier: MIT

/// Batch: where the system refuses what it asks for.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <map>
#include <set>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::child_program;
using test::eventually;
using test::in_a_fork;
using test::is_running;

struct BatchRefusalTest : test::CleanProcessTest {};

/// From here on epoll watches nothing more in this process, as when fs.epoll.max_user_watches or
/// the memory of the kernel is used up. Source: seccomp(2)
void refuse_to_watch() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_ctl, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(code)), code};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST_F(BatchRefusalTest, JobsThatCannotBeWatchedEndAllTheSame) {
  in_a_fork([] {
    refuse_to_watch();
    std::map<int, std::size_t> bytes;
    BatchOptions options{.jobs = 2, .output = BatchOutput::lines};
    options.on_output = [&](const RunningJob&, Piece piece) {
      bytes[piece.fd] += piece.text.size();
    };
    Batch batch{std::move(options)};
    for (int i = 0; i < 3; ++i) batch.add({child_program("flood"), 300'000});  // above any pipe
    int ended = 0;
    while (auto outcome = batch.next()) ended += outcome->result ? 1 : 0;
    EXPECT_EQ(ended, 3);
    EXPECT_EQ(bytes[1], 900'000u);
    EXPECT_EQ(bytes[2], 900'000u);
  });
}

TEST_F(BatchRefusalTest, EndlessInputOfJobsThatCannotBeWatchedIsNoRecursion) {
  in_a_fork([] {
    refuse_to_watch();
    Batch batch{{.jobs = 2}, [](Batch::Job& job) {
                  job.command = {"true"};
                  return Batch::Supply::job;
                }};
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(batch.next()->result);
  });
}

TEST_F(BatchRefusalTest, TimeLimitsHoldForJobsThatCannotBeWatched) {
  in_a_fork([] {
    refuse_to_watch();
    Batch batch{{.timeout = 20ms, .jobs = 1}};
    batch.add({"sleep", 1000});
    EXPECT_EQ(batch.next()->result.error().cause, Cause::timed_out);
  });
}

TEST_F(BatchRefusalTest, TreesThatCannotBeWatchedAreEndedToTheLast) {
  in_a_fork([] {
    pid_t grandchild = 0;
    BatchOptions options{.jobs = 1, .output = BatchOutput::lines};
    options.stop = {StopStep{Signal::terminate, 1ms}};
    Batch* running = nullptr;
    options.on_output = [&](const RunningJob&, Piece piece) {
      grandchild = std::stoi(std::string(piece.text));
      refuse_to_watch();
      running->end_all();
    };
    Batch batch{std::move(options)};
    running = &batch;
    batch.add({child_program("spawn_grandchild"), "session", "deaf", "wait"});
    EXPECT_EQ(batch.next()->result.error().cause, Cause::cancelled);
    EXPECT_FALSE(batch.next());
    ASSERT_GT(grandchild, 0);
    EXPECT_TRUE(eventually([&] { return !is_running(grandchild); }));
  });
}

TEST_F(BatchRefusalTest, RefusedJobRunsInTheSlotThatItWasMadeFor) {
  in_a_fork([] {
    ASSERT_TRUE(Command{"true"}.run());
    int left = 50;
    int shortages = 0;
    Batch batch{
        {.jobs = 100, .on_shortage = [&shortages](const Error&, std::size_t) { ++shortages; }},
        [&left](Batch::Job& job) {
          if (left-- == 0) return Batch::Supply::end;
          job.command = {"sh", "-c", "sleep 0.05; echo $0", job.slot};
          return Batch::Supply::job;
        }};
    const rlimit few{40, 40};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    while (auto outcome = batch.next()) {
      EXPECT_EQ(outcome->out.read(), std::to_string(outcome->slot) + "\n");
    }
    EXPECT_GT(shortages, 0);
  });
}

}  // namespace
}  // namespace tine
