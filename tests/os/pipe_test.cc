// SPDX-License-Identifier: MIT
#include "tine/pipe.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "os/io.h"
#include "os/pidfd.h"
#include "support/clean_process_test.h"
#include "tine/launch.h"

namespace tine {
namespace {

struct PipeTest : test::CleanProcessTest {};

bool sigpipe_pending() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGPIPE) == 1;
}

TEST_F(PipeTest, BothEndsCloseOnExec) {
  auto pipe = Pipe::create().value();
  EXPECT_EQ(::fcntl(pipe.reader.fd().get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(pipe.writer.fd().get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(PipeTest, BytesArriveUpToTheEnd) {
  auto pipe = Pipe::create().value();
  ASSERT_TRUE(pipe.writer.write_all("hello"));
  pipe.writer.close();
  EXPECT_EQ(pipe.reader.read_all().value(), "hello");
  EXPECT_EQ(pipe.reader.read_all().value(), "");
}

TEST_F(PipeTest, ReadAllAboveItsLimitIsAnError) {
  auto pipe = Pipe::create().value();
  ASSERT_TRUE(pipe.writer.write_all("hello"));
  pipe.writer.close();
  const auto read = pipe.reader.read_all(4);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::output_limit);
}

TEST_F(PipeTest, VanishedReaderIsAnErrorAndNotASignal) {
  auto pipe = Pipe::create().value();
  pipe.reader.close();
  const auto written = pipe.writer.write_all("x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::broken_pipe);
  EXPECT_FALSE(sigpipe_pending());
}

TEST_F(PipeTest, PendingSigpipeOfTheHostStaysPending) {
  test::in_a_fork([] {
    sigset_t sigpipe;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &sigpipe, nullptr);
    ::raise(SIGPIPE);
    auto pipe = Pipe::create().value();
    pipe.reader.close();
    EXPECT_FALSE(pipe.writer.write_all("x"));
    EXPECT_TRUE(sigpipe_pending());
  });
}

TEST_F(PipeTest, EndsNeverTakeTheNumbersOfStdio) {
  test::in_a_fork([] {
    const Fd output{::fcntl(1, F_DUPFD_CLOEXEC, 10)};
    for (const int fd : {0, 1, 2}) ::close(fd);
    auto ends = os::make_pipe().value();
    const bool above = ends.read.get() > 2 && ends.write.get() > 2;
    ::dup2(output.get(), 1);
    ::dup2(output.get(), 2);
    EXPECT_TRUE(above);
  });
}

struct Point {
  int x;
  double y;
};

TEST_F(PipeTest, TypedPipeCarriesValuesFromAChild) {
  auto pipe = TypedPipe<Point>::create().value();
  auto child = launch([&] {
                 for (int i = 0; i < 1000; ++i) {
                   if (!pipe.send({i, i / 2.0})) return 1;
                 }
                 return 0;
               }).value();
  pipe.writer.close();
  int seen = 0;
  while (auto point = pipe.receive().value()) {
    EXPECT_EQ(point->x, seen);
    EXPECT_EQ(point->y, seen / 2.0);
    ++seen;
  }
  EXPECT_EQ(seen, 1000);
  EXPECT_TRUE(child.wait()->status.success());
}

TEST_F(PipeTest, EndInTheMiddleOfAValueIsAnError) {
  auto pipe = TypedPipe<Point>::create().value();
  ASSERT_TRUE(pipe.writer.write_all("abc"));
  pipe.writer.close();
  const auto value = pipe.receive();
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().errno_value, EBADMSG);
}

TEST_F(PipeTest, SignalsDoNotCutReadsShort) {
  auto pipe = Pipe::create().value();
  static volatile sig_atomic_t handled = 0;
  struct sigaction action{};
  action.sa_handler = [](int) { handled = 1; };  // without SA_RESTART
  struct sigaction old{};
  sigaction(SIGUSR1, &action, &old);
  const pid_t parent = ::getpid();
  auto child =
      launch([&] {
        const auto blocked_in_read = [parent] {
          return test::read_text("/proc/" + std::to_string(parent) + "/wchan").find("pipe") !=
                     std::string::npos ||
                 test::read_text("/proc/" + std::to_string(parent) + "/stat").find(") S ") !=
                     std::string::npos;
        };
        if (!test::eventually(blocked_in_read)) return 1;
        ::kill(parent, SIGUSR1);
        return pipe.writer.write_all("whole") ? 0 : 1;
      }).value();
  pipe.writer.close();
  EXPECT_EQ(pipe.reader.read_all().value(), "whole");
  EXPECT_TRUE(child.wait()->status.success());
  EXPECT_EQ(handled, 1);
  sigaction(SIGUSR1, &old, nullptr);
}

}  // namespace
}  // namespace tine
