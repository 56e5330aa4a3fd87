// SPDX-License-Identifier: MIT

/// Programs that outlive their launcher.

#include <signal.h>
#include <unistd.h>

#include "spawn_methods.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::eventually;
using test::in_a_fork;
using test::is_running;

struct DetachTest : test::SpawnMethodsTest {};
INSTANTIATE_TEST_SUITE_P(By, DetachTest, test::every_spawn_method(), test::name_of_method);

Command detached(const std::string& program) {
  return Command({child_program(program)}).in(Redirect::pipe()).out(Redirect::pipe()).detach();
}

TEST_P(DetachTest, OutlivesTheHost) {
  auto told = TypedPipe<pid_t>::create().value();
  in_a_fork([&] {
    auto child =
        Command({child_program("ignore_term")}).out(Redirect::pipe()).detach().start().value();
    EXPECT_EQ(test::read_line(child.out()), "ready");
    EXPECT_TRUE(told.send(child.pid()));
  });
  told.writer.close();
  const pid_t pid = told.receive().value().value();
  EXPECT_TRUE(is_running(pid));
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }));  // and init reaps it
}

TEST_P(DetachTest, IsNotOurChildAndHasItsOwnSession) {
  auto child = detached("sleep_until_eof").start().value();
  EXPECT_EQ(test::read_line(child.out()), "ready");
  const auto info = process_info(child.pid()).value();
  EXPECT_NE(info.parent, ::getpid());
  EXPECT_EQ(info.session, child.pid());
  child.in().reset();
  EXPECT_TRUE(eventually([&] { return !is_running(child.pid()); }));
}

TEST_P(DetachTest, DestructorLeavesItAlone) {
  pid_t pid = 0;
  Fd input;
  {
    auto child = detached("sleep_until_eof").start().value();
    EXPECT_EQ(test::read_line(child.out()), "ready");
    pid = child.pid();
    input = std::move(child.in());
  }
  EXPECT_TRUE(is_running(pid));
  input.reset();
  EXPECT_TRUE(eventually([&] { return !is_running(pid); }));
}

TEST_P(DetachTest, CanBeSignalledAndWaitedFor) {
  auto child = detached("sleep_until_eof").start().value();
  EXPECT_EQ(test::read_line(child.out()), "ready");
  EXPECT_TRUE(child.send(Signal::terminate));
  const auto ended = child.wait();
  if (ended) {
    EXPECT_EQ(ended->status.signal(), SIGTERM);
  } else {
    EXPECT_EQ(ended.error().kind, ErrorKind::reaped_elsewhere);  // Linux before 6.15
  }
}

TEST_P(DetachTest, FailureToStartIsReported) {
  const auto refused = Command{"/no/such/program"}.detach().start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().to_string(),
            "cannot execute '/no/such/program': No such file or directory");
}

TEST_P(DetachTest, NoIntermediateIsLeft) {
  for (int i = 0; i < 10; ++i) {
    auto child = Command{"true"}.detach().start();
    EXPECT_TRUE(child);
  }
  // The fixture finds no zombie.
}

}  // namespace
}  // namespace tine
