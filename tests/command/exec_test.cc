// SPDX-License-Identifier: MIT

/// Becoming another program, and finding one.

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::in_a_fork;
using test::named_values;

struct ExecTest : test::CleanProcessTest {};
struct FindProgramTest : test::CleanProcessTest {};

/// What a forked copy that becomes `command` writes to its stdout; its pid in `pid`.
std::string become(const Command& command, pid_t* pid = nullptr) {
  auto pipe = Pipe::create().value();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe.writer.fd().get(), 1);
    const Error error = command.exec();
    const std::string text = "failed: " + error.to_string();
    [[maybe_unused]] const auto n = ::write(1, text.data(), text.size());
    ::_exit(0);
  }
  if (pid != nullptr) *pid = child;
  pipe.writer.close();
  std::string text = pipe.reader.read_all().value();
  ::waitpid(child, nullptr, 0);
  return text;
}

TEST_F(ExecTest, PidStaysTheSame) {
  pid_t pid = 0;
  const auto who = named_values(become({child_program("print_identity"), "word"}, &pid));
  EXPECT_EQ(who.at("pid"), std::to_string(pid));
  EXPECT_EQ(who.at("ppid"), std::to_string(::getpid()));
  EXPECT_EQ(who.at("argv1"), "word");
}

TEST_F(ExecTest, OptionsHold) {
  EXPECT_EQ(
      become(Command({"sh", "-c", "pwd; echo $X; cat"}).dir("/usr").env("X", "y").input("in")),
      "/usr\ny\nin");
}

TEST_F(ExecTest, DescriptorsAboveStdioAreClosed) {
  const Fd open{::fcntl(0, F_DUPFD, 20)};
  EXPECT_EQ(become(Command({child_program("print_fds")})), "0 1 2\n");
}

TEST_F(ExecTest, SignalsAreReset) {
  in_a_fork([] {
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigprocmask(SIG_BLOCK, &some, nullptr);
    ::signal(SIGUSR2, [](int) {});
    const std::string said = become({child_program("print_signals")});
    EXPECT_TRUE(said.starts_with("blocked:\n")) << said;
    EXPECT_TRUE(said.ends_with("handled:\n")) << said;
  });
}

TEST_F(ExecTest, FailureIsAnErrorAndTheProcessGoesOn) {
  EXPECT_EQ(become({"/no/such/program"}),
            "failed: cannot execute '/no/such/program': No such file or directory");
  EXPECT_EQ(become(Command({"true"}).dir("/no/such/dir")),
            "failed: cannot change directory to '/no/such/dir': No such file or directory");
  EXPECT_TRUE(become(Command::of({})).starts_with("failed: cannot prepare"));
}

TEST_F(ExecTest, FailureLeavesTheSignalMaskAsItWas) {
  const Error error = Command{"/no/such/program"}.exec();
  EXPECT_EQ(error.kind, ErrorKind::not_found);  // the fixture looks at the mask
  EXPECT_TRUE(Command{"true"}.run());
}

// ---- find_program ----

TEST_F(FindProgramTest, NamesAreLookedUpInPath) {
  const test::TemporaryDirectory dir;
  const std::string path = dir.write("tine-test-tool", "#!/bin/sh\n", 0755);
  in_a_fork([&] {
    ::setenv("PATH", ("/nowhere:" + dir.path()).c_str(), 1);
    EXPECT_EQ(find_program("tine-test-tool").value(), path);
    EXPECT_FALSE(find_program("sh"));
  });
  EXPECT_EQ(find_program("/bin/sh").value(), "/bin/sh");
}

TEST_F(FindProgramTest, RefusalsAreThoseOfALaunch) {
  const test::TemporaryDirectory dir;
  const std::string plain = dir.write("plain", "text", 0644);
  EXPECT_EQ(find_program("tine-no-such").error().kind, ErrorKind::not_found);
  EXPECT_EQ(find_program("").error().kind, ErrorKind::not_found);
  EXPECT_EQ(find_program("/tmp").error().kind, ErrorKind::is_directory);
  EXPECT_EQ(find_program(plain).error().kind, ErrorKind::not_executable);
  for (const std::string& name : {std::string("/tmp"), plain, std::string("/no/such")}) {
    EXPECT_EQ(find_program(name).error().to_string(), Command{name}.start().error().to_string());
  }
}

}  // namespace
}  // namespace tine
