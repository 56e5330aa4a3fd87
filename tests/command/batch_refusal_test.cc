// SPDX-License-Identifier: MIT

/// Batch: where the system refuses what it asks for.

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "command/batch_testing.h"

namespace tine {
namespace {

using namespace batch_testing;

struct BatchRefusalTest : test::CleanProcessTest {};

/// A program that its starter cannot signal, and a fork of ours that is such a starter.
void as_nobody_beside_root(const std::function<void(const std::string& out_of_reach)>& body) {
  constexpr uid_t kNobody = 65534;
  const TemporaryDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  const std::string program = directory / "out_of_reach";
  std::filesystem::copy_file(child_program("out_of_reach"), program);
  ASSERT_EQ(::chmod(program.c_str(), 04755), 0);
  in_a_fork([&] {
    ASSERT_EQ(::setgroups(0, nullptr), 0);
    ASSERT_EQ(::setresgid(kNobody, kNobody, kNobody), 0);
    ASSERT_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
    body(program);
  });
}

TEST_F(BatchRefusalTest, WhatKillCannotEndIsLostAndLeftBehind) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a program that is set-user-id";
  as_nobody_beside_root([](const std::string& out_of_reach) {
    auto stdin_of_it = Pipe::create().value();
    pid_t pid = 0;
    BatchOptions options{.output = BatchOutput::lines};
    Batch* ending = nullptr;
    options.on_output = [&](const RunningJob& job, Piece) {
      pid = job.pid;
      ending->kill_all();
    };
    Batch batch{std::move(options)};
    ending = &batch;
    batch.add(Command{out_of_reach}.in(Redirect::fd(stdin_of_it.reader.fd().get())));
    const auto outcome = batch.next();
    if (pid == 0) return;  // a file system on which set-user-id has no effect
    ASSERT_TRUE(outcome && !outcome->result);
    EXPECT_EQ(outcome->result.error().cause, Cause::lost);
    EXPECT_EQ(outcome->result.error().error->kind, ErrorKind::timed_out);
    EXPECT_FALSE(batch.next());
    EXPECT_TRUE(is_running(pid));
    stdin_of_it.writer.close();
    EXPECT_TRUE(eventually([&] { return !is_running(pid); }));
  });
}

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
