// SPDX-License-Identifier: MIT

/// Programs at a terminal. The host is a program of its own (run_in_foreground) whose controlling
/// terminal is a pseudo-terminal of ours, so that nothing happens to the terminal of the tests.

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::eventually;
using test::host_program;
using test::is_running;

constexpr char kControlC = 3;
constexpr char kControlZ = 26;

class ForegroundTest : public test::CleanProcessTest {
 protected:
  void start(std::vector<std::string> words) {
    Command command{host_program("run_in_foreground")};
    command.args(std::move(words));
    if (!timeout_.empty()) command.env("TIMEOUT", timeout_);
    host_ = command.in(Redirect::pseudo_terminal())
                .out(Redirect::pseudo_terminal())
                .err(Redirect::pseudo_terminal())
                .start()
                .value();
    terminal_ = std::move(host_.in());
  }
  void TearDown() override {
    host_ = Child{};
    terminal_.reset();
    test::CleanProcessTest::TearDown();
  }
  /// Reads what the terminal shows until `text` is in it.
  bool shows(const std::string& text) {
    return eventually([&] {
      pollfd watched{terminal_.get(), POLLIN, 0};
      char block[4096];
      if (::poll(&watched, 1, 0) == 1 && (watched.revents & POLLIN) != 0) {
        const ssize_t got = ::read(terminal_.get(), block, sizeof block);
        if (got > 0) shown_.append(block, static_cast<std::size_t>(got));
      }
      return shown_.find(text) != std::string::npos;
    });
  }
  void type(const std::string& text) {
    ASSERT_EQ(::write(terminal_.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] pid_t foreground_group() const { return ::tcgetpgrp(terminal_.get()); }
  [[nodiscard]] char state(pid_t pid) const {
    const auto info = process_info(pid);
    return info ? info->state : '-';
  }

  std::string timeout_;  ///< of the program, in seconds
  Child host_;
  Fd terminal_;
  std::string shown_;
};

TEST_F(ForegroundTest, ProgramReadsFromTheTerminalWithoutBeingStopped) {
  start({"sh", "-c", "read line; echo got $line"});
  type("hello\n");
  EXPECT_TRUE(shows("got hello"));
  EXPECT_TRUE(shows("exited with 0; terminal ours"));
  EXPECT_TRUE(host_.wait()->status.success());
}

TEST_F(ForegroundTest, ProgramsGroupOwnsTheTerminalWhileItRuns) {
  start({"sh", "-c", "ps -o tpgid= -p $$ | tr -d ' '; echo pid $$; read x"});
  ASSERT_TRUE(shows("pid "));
  EXPECT_TRUE(eventually([&] { return foreground_group() != host_.pid(); }));
  type("\n");
  EXPECT_TRUE(shows("terminal ours")) << shown_;
}

TEST_F(ForegroundTest, ControlCEndsTheProgramAndNotTheHost) {
  start({child_program("sleep_until_eof")});
  ASSERT_TRUE(shows("ready"));
  type({kControlC});
  EXPECT_TRUE(shows("killed by signal 2 (SIGINT); terminal ours")) << shown_;
  EXPECT_TRUE(host_.wait()->status.success());
}

TEST_F(ForegroundTest, TerminalComesBackAfterACrash) {
  start({child_program("die_by"), std::to_string(SIGKILL)});
  EXPECT_TRUE(shows("killed by signal 9 (SIGKILL); terminal ours")) << shown_;
}

TEST_F(ForegroundTest, TerminalComesBackWhenTheProgramCannotStart) {
  start({"/no/such/program"});
  EXPECT_TRUE(shows("cannot execute '/no/such/program': No such file or directory; terminal ours"))
      << shown_;
}

TEST_F(ForegroundTest, ControlZStopsTheHostTooAndBothGoOn) {
  start({child_program("sleep_until_eof")});
  ASSERT_TRUE(shows("ready"));
  const pid_t program = foreground_group();
  ASSERT_NE(program, host_.pid());
  type({kControlZ});
  ASSERT_TRUE(eventually([&] { return state(program) == 'T' && state(host_.pid()) == 'T'; }));
  EXPECT_EQ(foreground_group(), host_.pid());
  EXPECT_TRUE(host_.send(Signal::resume));  // as `fg` of a shell would
  ASSERT_TRUE(eventually([&] { return state(program) == 'S' && foreground_group() == program; }));
  type("\x04");  // end of file
  EXPECT_TRUE(shows("exited with 0; terminal ours")) << shown_;
}

TEST_F(ForegroundTest, ControlZIsHeardWithATimeoutToo) {
  timeout_ = "1000";
  start({child_program("sleep_until_eof")});
  ASSERT_TRUE(shows("ready"));
  type({kControlZ});
  ASSERT_TRUE(eventually([&] { return state(host_.pid()) == 'T'; }));
  EXPECT_TRUE(host_.send(Signal::resume));
  ASSERT_TRUE(eventually([&] { return foreground_group() != host_.pid(); }));
  type("\x04");
  EXPECT_TRUE(shows("exited with 0; terminal ours")) << shown_;
}

TEST_F(ForegroundTest, TimeoutEndsAProgramAtTheTerminal) {
  timeout_ = "1";
  start({child_program("sleep_until_eof")});
  EXPECT_TRUE(shows("timed out")) << shown_;
  EXPECT_TRUE(shows("terminal ours")) << shown_;
}

TEST_F(ForegroundTest, ControlZAndBackReachesTheWholeGroup) {
  start({"sh", "-c", "cat; echo end"});
  type("typed\n");
  ASSERT_TRUE(shows("typed\r\ntyped"));
  const pid_t program = foreground_group();
  const auto all_in_state = [&](char wanted) {
    const auto tree = process_tree(program);
    return tree && tree->size() == 2 &&
           std::ranges::all_of(*tree, [&](const auto& p) { return p.state == wanted; });
  };
  type({kControlZ});
  ASSERT_TRUE(eventually([&] { return all_in_state('T') && state(host_.pid()) == 'T'; }));
  EXPECT_TRUE(host_.send(Signal::resume));
  ASSERT_TRUE(eventually([&] { return all_in_state('S'); }));  // cat too, not only the shell
  type("\x04");
  EXPECT_TRUE(shows("exited with 0; terminal ours")) << shown_;
}

TEST_F(ForegroundTest, ProgramAtTheInheritedTerminalStaysInOurGroup) {
  // Not foreground(): a child whose stdin is the caller's terminal must not be stopped by SIGTTIN.
  auto child = Command({host_program("run_plainly"), "cat"})
                   .in(Redirect::pseudo_terminal())
                   .out(Redirect::pseudo_terminal())
                   .start()
                   .value();
  terminal_ = std::move(child.in());
  type("hello\n\x04");
  EXPECT_TRUE(shows("hello\r\nhello")) << shown_;
  EXPECT_TRUE(shows("exited with 0")) << shown_;
  EXPECT_TRUE(child.wait()->status.success());
}

TEST_F(ForegroundTest, HangUpOfTheTerminalEndsTheHost) {
  start({child_program("sleep_until_eof")});
  ASSERT_TRUE(shows("ready"));
  const pid_t program = foreground_group();
  terminal_.reset();
  EXPECT_TRUE(host_.wait());
  EXPECT_TRUE(eventually([&] { return !is_running(program); }));
}

}  // namespace
}  // namespace tine
