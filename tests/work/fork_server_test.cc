// SPDX-License-Identifier: MIT
#include "tine/fork_server.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/tine.h"
#include "work/elsewhere.h"
#include "work/numbers.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::add;
using test::eventually;
using test::is_running;

const CallOptions kByServer{.start = StartMethod::fork_server};

/// What server and children have as well: mapped before the server is forked.
struct Board {
  std::atomic<int> gate;
  std::atomic<int> begun;
  std::atomic<int> counted;
};
Board& board =
    *new (::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Board;

int wait_at_board() {
  ++board.begun;
  while (board.gate.load() == 0) ::sched_yield();
  return 7;
}

bool is_asleep(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  stat >> number >> name >> state;
  return state == "S";
}

struct ForkServerTest : test::CleanProcessTest {
  void SetUp() override {
    board.gate = board.begun = board.counted = 0;
    CleanProcessTest::SetUp();
  }
  void TearDown() override {
    ForkServer::stop();
    CleanProcessTest::TearDown();
  }
  static void wait_for_another(pid_t than) {
    EXPECT_TRUE(eventually([&] {
      const pid_t now = ForkServer::server_pid();
      return now != 0 && now != than;
    }));
  }
};
struct ForkServerNoAsanTest : ForkServerTest {};
struct ForkServerThreadsTest : ForkServerTest {};

// ---- Its life ----

TEST_F(ForkServerTest, StartsOnceAndStops) {
  EXPECT_FALSE(ForkServer::is_running());
  EXPECT_EQ(ForkServer::server_pid(), 0);
  ASSERT_TRUE(ForkServer::start());
  EXPECT_GT(ForkServer::server_pid(), 0);
  EXPECT_TRUE(ForkServer::is_running());
  EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
  const pid_t server = ForkServer::server_pid();
  const pid_t keeper = ForkServer::keeper_pid();
  ASSERT_TRUE(ForkServer::start());
  EXPECT_EQ(ForkServer::server_pid(), server);
  ForkServer::stop();
  EXPECT_FALSE(ForkServer::is_running());
  EXPECT_TRUE(eventually([&] { return !is_running(server) && !is_running(keeper); }));
}

TEST_F(ForkServerTest, AStoppedOneCanBeStopped) {
  ASSERT_TRUE(ForkServer::start());
  EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
  const pid_t server = ForkServer::server_pid();
  const pid_t keeper = ForkServer::keeper_pid();
  ::kill(keeper, SIGSTOP);
  ForkServer::stop();
  EXPECT_TRUE(eventually([&] { return !is_running(server) && !is_running(keeper); }));
}

TEST_F(ForkServerTest, B096_AKilledServerIsReplacedAndItsChildrenStillDeliver) {
  ASSERT_TRUE(ForkServer::start());
  for (const int signal : {SIGINT, SIGKILL}) {
    board.gate = board.begun = 0;
    auto old = call_async(kByServer, wait_at_board);
    while (board.begun.load() == 0) ::sched_yield();
    const pid_t server = ForkServer::server_pid();
    ::kill(server, signal);
    wait_for_another(server);
    EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
    board.gate = 1;
    EXPECT_EQ(old.get().value(), 7);
  }
}

TEST_F(ForkServerTest, AnIdleServerMayBeKilledAnyNumberOfTimes) {
  ASSERT_TRUE(ForkServer::start({.preload = [] { ++board.counted; }}));
  for (int i = 1; i <= 5; ++i) {
    // Behind its preload it sleeps for want of requests only.
    EXPECT_TRUE(eventually([&] { return board.counted == i; }));
    EXPECT_TRUE(eventually([] { return is_asleep(ForkServer::server_pid()); }));
    const pid_t server = ForkServer::server_pid();
    ::kill(server, SIGKILL);
    wait_for_another(server);
  }
  EXPECT_TRUE(ForkServer::is_running());
  EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
}

TEST_F(ForkServerTest, AStoppedServerHoldsNobody) {
  ASSERT_TRUE(ForkServer::start());
  EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
  const pid_t server = ForkServer::server_pid();
  ::kill(server, SIGSTOP);
  const auto late = call({.timeout = 20ms, .start = StartMethod::fork_server}, add, 1, 2);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().cause, Cause::timed_out);
  EXPECT_NE(late.error().to_string().find(std::to_string(server)), std::string::npos)
      << late.error().to_string();
  CancelSource source;
  source.cancel();
  CallOptions cancelled = kByServer;
  cancelled.cancel = source.token();
  // More than its socket holds.
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(call(cancelled, add, 1, 2).error().cause, Cause::cancelled);
  }
  ::kill(server, SIGCONT);
  EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
  EXPECT_EQ(ForkServer::server_pid(), server);
}

TEST_F(ForkServerTest, APoolOutlivesTheServerThatMadeIt) {
  ASSERT_TRUE(ForkServer::start());
  Pool pool{{.workers = 1, .start = StartMethod::fork_server}};
  EXPECT_EQ(pool.submit(add, 1, 2).get().value(), 3);
  const pid_t server = ForkServer::server_pid();
  ::kill(server, SIGKILL);
  wait_for_another(server);
  EXPECT_EQ(pool.submit(add, 3, 4).get().value(), 7);
}

TEST_F(ForkServerTest, AChildWhoseServerIsGoneIsEndedInTime) {
  ASSERT_TRUE(ForkServer::start());
  CallOptions options = kByServer;
  options.grace = 0ms;
  auto hanging = call_async(options, wait_at_board);
  while (board.begun.load() == 0) ::sched_yield();
  const pid_t server = ForkServer::server_pid();
  ::kill(server, SIGKILL);
  wait_for_another(server);
  hanging.cancel();
  EXPECT_EQ(hanging.get().error().cause, Cause::cancelled);
}

TEST_F(ForkServerThreadsTest, AServerKilledUnderLoadCostsNoCall) {
  ASSERT_TRUE(ForkServer::start());
  std::atomic<bool> over{false};
  std::atomic<int> right{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        // A value is there, whoever has forked its child; the status of one that the dying server
        // did not reap may be nobody's.
        const auto result = call(kByServer, add, i, 1);
        if (result && *result == i + 1) {
          ++right;
        } else {
          ADD_FAILURE() << result.error().to_string();
        }
      }
    });
  }
  std::thread killer([&] {
    pid_t last = 0;
    while (!over) {
      const pid_t server = ForkServer::server_pid();
      const int before = right.load();
      if (server != 0 && server != last) ::kill(last = server, SIGKILL);
      while (!over && right.load() < before + 5) ::sched_yield();
    }
  });
  for (auto& caller : callers) caller.join();
  over = true;
  killer.join();
  EXPECT_EQ(right, 200);
}

// ---- Preload ----

int loaded = 0;

TEST_F(ForkServerTest, PreloadRunsInTheServerAloneAndOnce) {
  ASSERT_TRUE(ForkServer::start({.preload = [] {
    loaded = 5;
    ++board.counted;
  }}));
  EXPECT_EQ(call(kByServer, [] { return loaded; }).value(), 5);
  EXPECT_EQ(call(kByServer, [] { return loaded; }).value(), 5);
  EXPECT_EQ(loaded, 0);
  EXPECT_EQ(board.counted, 1);
}

TEST_F(ForkServerTest, AFailingPreloadIsTold) {
  test::in_a_fork([] {
    ASSERT_TRUE(ForkServer::start({.preload = [] { throw std::runtime_error("no licence"); }}));
    ASSERT_TRUE(eventually([] { return !ForkServer::is_running(); }));
    // This program has an entry for workers: the call is made without the server.
    EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
    ForkServer::stop();
  });
}

std::size_t size_of(const std::vector<char>& bytes) { return bytes.size(); }

TEST_F(ForkServerNoAsanTest, ArgumentsBeyondTheServersMemoryCostOneCall) {
  ASSERT_TRUE(ForkServer::start({.preload = [] {
    const rlimit room{128_MiB, 128_MiB};
    ::setrlimit(RLIMIT_DATA, &room);
  }}));
  EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
  const pid_t server = ForkServer::server_pid();
  EXPECT_FALSE(call(kByServer, size_of, std::vector<char>(128_MiB)));
  EXPECT_EQ(ForkServer::server_pid(), server);
  EXPECT_EQ(call(kByServer, add, 1, 2).value(), 3);
}

TEST_F(ForkServerThreadsTest, APreloadThatLeavesThreadsIsTold) {
  test::in_a_fork([] {
    ASSERT_TRUE(ForkServer::start({.preload = [] {
      std::thread([] {
        for (;;) ::pause();
      }).detach();
    }}));
    EXPECT_TRUE(eventually([] { return !ForkServer::is_running(); }));
    EXPECT_NE(work::fork_server_error().to_string().find("left threads"), std::string::npos);
    ForkServer::stop();
  });
}

// ---- Hosts that die ----

TEST_F(ForkServerTest, WithTheHostDiesAllThatItHasMade) {
  Command command{test::host_program("keep_elsewhere")};
  command.in(Redirect::pipe()).out(Redirect::pipe());
  auto host = command.start();
  ASSERT_TRUE(host);
  std::set<pid_t> pids;
  for (int i = 0; i < 8; ++i) pids.insert(std::atoi(test::read_line(host->out()).c_str()));
  ASSERT_EQ(pids.size(), 8);
  EXPECT_EQ(pids.count(0), 0);
  ASSERT_TRUE(host->send(Signal::kill));
  EXPECT_TRUE(host->wait());
  for (const pid_t pid : pids) {
    EXPECT_TRUE(eventually([&] { return !is_running(pid); })) << pid;
  }
}

TEST_F(ForkServerTest, WithoutAnEntryForWorkersTheErrorsSaySo) {
  const std::string said = Command{test::host_program("without_entry")}.read().value();
  const auto has = [&](const char* line) {
    EXPECT_NE(said.find(line), std::string::npos) << line << "\nin\n" << said;
  };
  has("worker_main");
  has("never started: ");
  has("ForkServer::start() first thing in main");
  has("started: 42\n");
  has("killed: ");
  has("its keeper was killed");
  has("again: 42\n");
  has("waited for 0");
}

TEST_F(ForkServerTest, WorkersThatEndBeforeTheyBeginAreNotMadeForEver) {
  const std::string said = Command{test::host_program("late_entry")}.read().value();
  const auto call_said = said.find("call: 'a function' exited with 64");
  const auto task_said = said.find("task: 'a task' lost");
  ASSERT_NE(call_said, std::string::npos) << said;
  ASSERT_NE(task_said, std::string::npos) << said;
  EXPECT_NE(said.find("worker_main", call_said), std::string::npos) << said;
  EXPECT_NE(said.find("worker_main", task_said), std::string::npos) << said;
}

TEST_F(ForkServerTest, AForkedChildHasNoneOfOurs) {
  ASSERT_TRUE(ForkServer::start());
  const auto seen = call([] { return ForkServer::is_running(); });
  EXPECT_FALSE(seen.value());
}

// ---- What travels ----

TEST_F(ForkServerTest, CapturesAreRefused) {
  ASSERT_TRUE(ForkServer::start());
  int captured = 1;
  const auto refused = call(kByServer, [&] { return captured; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cause, Cause::not_started);
  EXPECT_EQ(refused.error().error.value().kind, ErrorKind::captures);
}

TEST_F(ForkServerTest, CodeOfALibraryThatWasLoadedLaterTravels) {
  ASSERT_TRUE(ForkServer::start());
  Pool pool{{.workers = 1, .start = StartMethod::fork_server}};
  EXPECT_EQ(pool.submit(add, 1, 2).get().value(), 3);
  void* const library = ::dlopen(TINE_TEST_LIBRARY, RTLD_NOW);
  ASSERT_NE(library, nullptr) << ::dlerror();
  const auto add_there = reinterpret_cast<int (*)(int, int)>(::dlsym(library, "add_in_library"));
  for (const StartMethod method : {StartMethod::fork_server, StartMethod::spawn}) {
    EXPECT_EQ(call({.start = method}, add_there, 1, 2).value(), 103);
    EXPECT_EQ(call({.start = method}, add_there, 1, 0).error().message, "thrown in the library");
  }
  EXPECT_EQ(pool.submit(add_there, 1, 2).get().value(), 103);
  EXPECT_EQ(pool.submit(add_there, 1, 2).get().value(), 203);
  ::dlclose(library);
}

[[gnu::noinline]] void crash_here() {
  ::raise(SIGSEGV);
  asm volatile("" ::: "memory");  // no tail call
}
[[gnu::noinline]] void stuck_here() {
  for (;;) ::pause();
}

TEST_F(ForkServerNoAsanTest, CrashesAndTimeoutsSayWhere) {
  ASSERT_TRUE(ForkServer::start());
  for (const StartMethod method : {StartMethod::fork_server, StartMethod::spawn}) {
    const auto crashed = call({.start = method}, crash_here);
    ASSERT_FALSE(crashed);
    EXPECT_EQ(crashed.error().cause, Cause::signaled);
    EXPECT_NE(crashed.error().backtrace.find("crash_here"), std::string::npos)
        << crashed.error().backtrace;
    EXPECT_EQ(crashed.error().backtrace.find("tine::work"), std::string::npos)
        << crashed.error().backtrace;
    // On a busy machine it may not be there yet, or give no answer in time.
    Failure stuck;
    EXPECT_TRUE(eventually([&] {
      stuck = call({.timeout = 300ms, .grace = 0ms, .start = method}, stuck_here).error();
      EXPECT_EQ(stuck.cause, Cause::timed_out);
      return stuck.backtrace.find("stuck_here") != std::string::npos;
    })) << stuck.to_string();

    Pool pool{{.workers = 1, .start = method}};
    const auto task = pool.submit(crash_here).get();
    ASSERT_FALSE(task);
    EXPECT_NE(task.error().backtrace.find("crash_here"), std::string::npos)
        << task.error().backtrace;
  }
}

TEST_F(ForkServerNoAsanTest, MemoryLimitsHold) {
  ASSERT_TRUE(ForkServer::start());
  for (const StartMethod method : {StartMethod::fork_server, StartMethod::spawn}) {
    const auto result = call({.memory = 32_MiB, .start = method}, [] {
      std::vector<char> much(64_MiB, 'x');
      return much.back();
    });
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().cause, Cause::out_of_memory) << result.error().to_string();
  }
}

}  // namespace
}  // namespace tine
