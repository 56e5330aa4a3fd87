// SPDX-License-Identifier: MIT

/// What dies with its host, and what does not.

#include "child/guardian.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "os/pidfd.h"
#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::eventually;
using test::host_program;
using test::in_a_fork;
using test::is_running;

struct GuardianTest : test::CleanProcessTest {};
struct GuardianAloneTest : test::CleanProcessTest {};

/// A host that runs, and the pids that it told.
struct Host {
  Child process{};
  std::vector<pid_t> pids{};

  [[nodiscard]] bool all_running() const { return std::ranges::all_of(pids, is_running); }
  [[nodiscard]] bool none_running() const { return std::ranges::none_of(pids, is_running); }
};

void add_pids(Host& host, const std::string& line) {
  std::istringstream words{line};
  for (std::string word; words >> word;) {
    if (word != "ready" && std::stoi(word) > 0) host.pids.push_back(std::stoi(word));
  }
}

Host start_host(const Command& command) {
  Host host;
  auto started = Command(command).in(Redirect::pipe()).out(Redirect::pipe()).start();
  if (!started) return host;
  host.process = std::move(*started);
  return host;
}

/// keep_children COUNT PROGRAM...; all of its children and grandchildren have said who they are.
Host keeping(int count, std::vector<std::string> words, const std::string& mark = {}) {
  Command command{host_program("keep_children"), count};
  command.args(std::move(words));
  if (!mark.empty()) command.env("MARK", mark);
  Host host = start_host(command);
  for (std::string line; line != "ready";) {
    line = test::read_line(host.process.out());
    if (line.empty()) {
      ADD_FAILURE() << "the host ended";
      break;
    }
    add_pids(host, line);
  }
  return host;
}

/// By the pidfd of its host, which it holds.
pid_t guardian_of(pid_t host) {
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const auto words = test::read_text(process.path() / "cmdline");
    if (!words.starts_with("tine-guardian")) continue;
    const auto info = test::read_text(process.path() / "fdinfo/4");
    const auto at = info.find("Pid:\t");
    if (at != std::string::npos && std::stoi(info.substr(at + 5)) == host) {
      return std::stoi(process.path().filename());
    }
  }
  return 0;
}

TEST_F(GuardianTest, KilledHostTakesChildrenAndGrandchildrenAlong) {
  for (const char* how : {"plain", "group", "session", "deaf"}) {
    Host host = keeping(3, {child_program("spawn_grandchild"), how, "wait"});
    EXPECT_EQ(host.pids.size(), 6u);
    EXPECT_TRUE(host.all_running());
    EXPECT_TRUE(host.process.send(Signal::kill));
    EXPECT_TRUE(eventually([&] { return host.none_running(); })) << how;
  }
}

TEST_F(GuardianTest, HostThatJustExitsTakesThemAlong) {
  Host host = keeping(2, {child_program("spawn_grandchild"), "session", "wait"});
  host.process.in().reset();  // it leaves by _exit, without any destructor
  EXPECT_TRUE(host.process.wait()->status.success());
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianTest, StoppedChildrenOfAKilledHostDieToo) {
  Host host = keeping(2, {child_program("spawn_grandchild"), "wait"});
  for (const pid_t pid : host.pids) ::kill(pid, SIGSTOP);
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianTest, OrphansInTheGroupOfAChildDieWithTheHost) {
  // The grandchild's own parent is gone: only the group still tells whose it is.
  Host host = keeping(1, {child_program("spawn_grandchild"), "orphan", "wait"});
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianTest, HundredsOfChildrenDieWithTheHost) {
  Host host = keeping(300, {child_program("ignore_term")});
  EXPECT_EQ(host.pids.size(), 300u);
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianTest, MarkReachesWhatLeftGroupSessionAndParent) {
  const std::string mark = "TINE_TEST_RUN=" + std::to_string(::getpid());
  Host host = keeping(2, {child_program("spawn_grandchild"), "orphan", "session", "wait"}, mark);
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianTest, WithoutAMarkADoubleForkedDaemonLivesOn) {
  Host host = keeping(1, {child_program("spawn_grandchild"), "orphan", "session", "wait"});
  const pid_t child = host.pids[0];
  const pid_t daemon = host.pids[1];
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return !is_running(child); }));
  EXPECT_TRUE(is_running(daemon));  // as docs/gotchas.md says; the test above is the way out
  ::kill(daemon, SIGKILL);
}

TEST_F(GuardianTest, UnusableMarksAreRefused) {
  EXPECT_FALSE(child::KillMark::set(""));
  EXPECT_FALSE(child::KillMark::set("no equals sign"));
  EXPECT_FALSE(child::KillMark::set("A=" + std::string(300, 'x')));
}

TEST_F(GuardianTest, MarksAreKeptApartAndGivenBack) {
  for (int round = 0; round < 3; ++round) {
    std::vector<child::KillMark> marks;
    for (std::uint32_t i = 0; i < child::kGuardianMarks; ++i) {
      marks.push_back(child::KillMark::set("TINE_TEST=" + std::to_string(i)).value());
    }
    EXPECT_FALSE(child::KillMark::set("TINE_TEST=one_too_many"));
  }
}

// ---- The guardian itself ----

TEST_F(GuardianTest, KilledGuardianIsReplacedAtTheNextLaunch) {
  in_a_fork([] {
    auto before = Command({"sleep", 1000}).start().value();
    const Fd first{::dup(child::guardian_pidfd())};
    ASSERT_EQ(os::send_signal(first.get(), SIGKILL), 0);
    ASSERT_EQ(os::poll_pidfd(first.get(), -1, {}), os::PidfdWait::ended);
    auto after = Command({"sleep", 1000}).start().value();
    EXPECT_EQ(os::poll_pidfd(child::guardian_pidfd(), -1, std::chrono::steady_clock::now()),
              os::PidfdWait::timed_out);
    EXPECT_TRUE(is_running(before.pid()));
  });
}

TEST_F(GuardianTest, ReplacedGuardianKnowsTheChildrenFromBefore) {
  auto told = TypedPipe<pid_t>::create().value();
  auto host = launch([&] {
                auto before = Command({"sleep", 1000}).start().value();
                os::send_signal(child::guardian_pidfd(), SIGKILL);
                os::poll_pidfd(child::guardian_pidfd(), -1, {});
                auto after = Command({"sleep", 1000}).start().value();
                if (!told.send(before.pid()) || !told.send(after.pid())) return;
                for (;;) ::pause();
              }).value();
  told.writer.close();
  const pid_t before = told.receive().value().value();
  const pid_t after = told.receive().value().value();
  EXPECT_TRUE(is_running(before) && is_running(after));
  EXPECT_TRUE(host.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return !is_running(before) && !is_running(after); }));
}

TEST_F(GuardianTest, DeadlinesSurviveTheGuardian) {
  in_a_fork([] {
    auto child = Command({"sleep", 1000}).timeout(std::chrono::milliseconds(200)).start().value();
    os::send_signal(child::guardian_pidfd(), SIGKILL);
    os::poll_pidfd(child::guardian_pidfd(), -1, {});
    EXPECT_TRUE(Command{"true"}.run());  // notices, replaces
    EXPECT_TRUE(eventually([&] { return !is_running(child.pid()); }));
    EXPECT_TRUE(child.wait());
    EXPECT_TRUE(child.timed_out());
  });
}

TEST_F(GuardianTest, GuardianIsNobodysChildAndHoldsNothingOfTheHost) {
  auto pipe = Pipe::create().value();
  in_a_fork([&] {
    EXPECT_TRUE(Command{"true"}.run());
    const auto info =
        test::read_text("/proc/self/fdinfo/" + std::to_string(child::guardian_pidfd()));
    const auto at = info.find("Pid:\t");
    ASSERT_NE(at, std::string::npos);
    const pid_t guardian = std::stoi(info.substr(at + 5));
    EXPECT_NE(process_info(guardian)->parent, ::getpid());
    EXPECT_EQ(process_info(guardian)->session, guardian);
    const auto fds = "/proc/" + std::to_string(guardian) + "/fd";
    std::set<std::string> numbers;
    for (const auto& fd : std::filesystem::directory_iterator(fds)) {
      numbers.insert(fd.path().filename().string());
    }
    EXPECT_EQ(numbers, (std::set<std::string>{"0", "1", "2", "3", "4", "5"}));
    EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(guardian) + "/cwd"), "/");
  });
  pipe.writer.close();
  EXPECT_EQ(pipe.reader.read_all().value(), "");  // or somebody held the other end
}

TEST_F(GuardianTest, HostThatLoopsOnWaitTerminates) {
  EXPECT_EQ(Command{host_program("wait_loop")}.read().value(), "3");
}

TEST_F(GuardianTest, GuardianEndsWithItsHost) {
  pid_t guardian = 0;
  auto told = TypedPipe<pid_t>::create().value();
  auto host = launch([&] {
                const bool ran = Command{"true"}.run().has_value();
                const auto info =
                    test::read_text("/proc/self/fdinfo/" + std::to_string(child::guardian_pidfd()));
                return ran && told.send(std::stoi(info.substr(info.find("Pid:\t") + 5))) ? 0 : 1;
              }).value();
  guardian = told.receive().value().value();
  EXPECT_TRUE(host.wait()->status.success());
  EXPECT_TRUE(eventually([&] { return !is_running(guardian); }));
}

// ---- Hosts that change ----

TEST_F(GuardianTest, HostThatBecomesAnotherProgramKeepsItsChildren) {
  Host host = start_host(Command{host_program("exec_away"), child_program("sleep_until_eof"),
                                 child_program("ignore_term")});
  add_pids(host, test::read_line(host.process.out()));
  EXPECT_EQ(test::read_line(host.process.out()), "ready");  // it is sleep_until_eof now
  EXPECT_TRUE(host.all_running());
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianAloneTest, RecycledPidOfAChildThatAnotherProgramReapedIsSpared) {
  Host host = start_host(Command{host_program("exec_away"), child_program("recycle_pid"),
                                 child_program("exit_with"), 0});
  add_pids(host, test::read_line(host.process.out()));
  const pid_t recycled = host.pids.at(0);
  const std::string said = test::read_line(host.process.out());
  const pid_t guardian = guardian_of(host.process.pid());
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return !is_running(guardian); }));  // it has done its work
  if (said == "refused") GTEST_SKIP() << "pids can be chosen only by root";
  EXPECT_TRUE(is_running(recycled));
  ::kill(recycled, SIGKILL);
}

TEST_F(GuardianTest, ForkedCopyThatExitsLeavesTheChildrenOfTheOriginal) {
  Host host = start_host(Command{host_program("fork_bare"), child_program("ignore_term")});
  const std::string line = test::read_line(host.process.out());
  EXPECT_TRUE(line.ends_with(" 0")) << line;  // the copy found its handle inert
  add_pids(host, line);
  EXPECT_TRUE(host.all_running());
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianTest, ForkedChildHasItsOwnGuardian) {
  Host host = start_host(Command{host_program("nested_host"), child_program("ignore_term")});
  add_pids(host, test::read_line(host.process.out()));
  ASSERT_EQ(host.pids.size(), 2u);
  ::kill(host.pids[0], SIGKILL);  // the one in the middle alone
  EXPECT_TRUE(eventually([&] { return !is_running(host.pids[1]); }));
  EXPECT_TRUE(is_running(host.process.pid()));
}

TEST_F(GuardianTest, KilledHostTakesTheChildrenOfItsForkedChildrenAlong) {
  Host host = start_host(Command{host_program("nested_host"), child_program("ignore_term")});
  add_pids(host, test::read_line(host.process.out()));
  ASSERT_EQ(host.pids.size(), 2u);
  EXPECT_TRUE(host.process.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return host.none_running(); }));
}

TEST_F(GuardianTest, HostWithoutATemporaryDirectoryHasAGuardian) {
  Host host = start_host(Command({host_program("nested_host"), child_program("ignore_term")})
                             .env("TMPDIR", "/no/such/directory"));
  add_pids(host, test::read_line(host.process.out()));
  EXPECT_EQ(host.pids.size(), 2u);
}

}  // namespace
}  // namespace tine
