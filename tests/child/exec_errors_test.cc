// SPDX-License-Identifier: MIT

/// What is said when a program cannot be executed: the whole text, for every way of launching.

#include <fcntl.h>
#include <unistd.h>

#include "spawn_methods.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::TemporaryDirectory;

struct ExecErrorsTest : test::SpawnMethodsTest {};
INSTANTIATE_TEST_SUITE_P(By, ExecErrorsTest, test::every_spawn_method(), test::name_of_method);

void expect_refused(const Command& command, ErrorKind kind, const std::string& text) {
  const auto started = command.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().kind, kind);
  EXPECT_EQ(started.error().stage, Stage::exec);
  EXPECT_EQ(started.error().to_string(), text);
  const auto ran = command.run();
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().cause, Cause::not_started);
  EXPECT_EQ(ran.error().to_string(), text);
}

TEST_P(ExecErrorsTest, NothingThere) {
  expect_refused({"/no/such/program"}, ErrorKind::not_found,
                 "cannot execute '/no/such/program': No such file or directory");
  expect_refused({"/etc/passwd/program"}, ErrorKind::not_found,
                 "cannot execute '/etc/passwd/program': No such file or directory");
}

TEST_P(ExecErrorsTest, NameThatIsNotInPath) {
  expect_refused(Command{"tine-no-such"}.env("PATH", "/bin:/x"), ErrorKind::not_found,
                 "cannot execute 'tine-no-such': No such file or directory: not in PATH (/bin:/x)");
  expect_refused(Command{"tine-no-such"}.env("PATH", "/a:/b:/c"), ErrorKind::not_found,
                 "cannot execute 'tine-no-such': No such file or directory: not in PATH "
                 "(/a:/b:/c)");
  expect_refused(Command{"tine-no-such"}.env("PATH", "/a:/b:/c:/d:/e"), ErrorKind::not_found,
                 "cannot execute 'tine-no-such': No such file or directory: not in PATH "
                 "(/a:/b:/c and 2 more)");
  expect_refused(Command{"tine-no-such"}.env_clear(), ErrorKind::not_found,
                 "cannot execute 'tine-no-such': No such file or directory: not in PATH "
                 "(/bin:/usr/bin)");
}

TEST_P(ExecErrorsTest, EmptyName) {
  expect_refused({""}, ErrorKind::not_found, "cannot execute: No such file or directory");
}

TEST_P(ExecErrorsTest, Directory) {
  expect_refused({"/tmp"}, ErrorKind::is_directory,
                 "cannot execute '/tmp': Permission denied: it is a directory");
}

TEST_P(ExecErrorsTest, TextFileWithoutInterpreter) {
  const TemporaryDirectory dir;
  for (const std::string text : {"hello\n", ""}) {
    const std::string path = dir.write("text", text, 0755);
    expect_refused({path}, ErrorKind::bad_format,
                   "cannot execute '" + path +
                       "': Exec format error: neither a program for this "
                       "machine nor a script with a #! line");
  }
}

TEST_P(ExecErrorsTest, FileThatIsNotExecutable) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("text", "#!/bin/sh\n", 0644);
  expect_refused({path}, ErrorKind::not_executable,
                 "cannot execute '" + path +
                     "': Permission denied: the file is not executable "
                     "(chmod +x makes it so)");
}

TEST_P(ExecErrorsTest, ScriptWithoutItsInterpreter) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("script", "#! /no/such/interpreter -x\necho\n", 0755);
  expect_refused({path}, ErrorKind::missing_interpreter,
                 "cannot execute '" + path +
                     "': No such file or directory: the file exists, but "
                     "its interpreter '/no/such/interpreter' does not");
}

TEST_P(ExecErrorsTest, ScriptWithWindowsLineEnds) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("script", "#!/bin/sh\r\necho\r\n", 0755);
  expect_refused(
      {path}, ErrorKind::missing_interpreter,
      "cannot execute '" + path +
          "': No such file or directory: the file exists, but "
          "its interpreter '/bin/sh\\r' does not (its first line ends in CR LF: convert it "
          "to Unix line ends)");
}

TEST_P(ExecErrorsTest, BinaryWithoutItsLoader) {
  const TemporaryDirectory dir;
  std::string elf = test::read_text("/bin/true");
  const std::string loader = "/lib64/ld-linux-x86-64.so.2";
  const auto at = elf.find(loader);
  if (at == std::string::npos) GTEST_SKIP() << "/bin/true has another loader here";
  elf.replace(at, 6, "/lib00");
  const std::string path = dir.write("binary", elf, 0755);
  expect_refused({path}, ErrorKind::missing_interpreter,
                 "cannot execute '" + path +
                     "': No such file or directory: the file exists, but "
                     "the loader that it asks for does not");
}

TEST_P(ExecErrorsTest, InterpreterThatMayNotBeExecuted) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("script", "#!/tmp\n", 0755);
  expect_refused(
      {path}, ErrorKind::not_permitted,
      "cannot execute '" + path +
          "': Permission denied: a directory on the way is "
          "closed to this user, the file system is mounted noexec, or the interpreter is "
          "not executable");
}

TEST_P(ExecErrorsTest, ProgramThatIsBeingWritten) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("program", test::read_text("/bin/true"), 0755);
  const Fd writer{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  expect_refused({path}, ErrorKind::system,
                 "cannot execute '" + path +
                     "': Text file busy: somebody has the file open for "
                     "writing");
}

TEST_P(ExecErrorsTest, LoopOfLinks) {
  const TemporaryDirectory dir;
  ASSERT_EQ(::symlink("loop", (dir / "loop").c_str()), 0);
  expect_refused({dir / "loop"}, ErrorKind::system,
                 "cannot execute '" + (dir / "loop") + "': Too many levels of symbolic links");
}

TEST_P(ExecErrorsTest, OneArgumentOf200KiB) {
  const std::string most = std::to_string(::sysconf(_SC_ARG_MAX));
  expect_refused(Command({"/bin/true", std::string(200 << 10, 'x')}).env_clear(),
                 ErrorKind::argument_list_too_long,
                 "cannot execute '/bin/true': Argument list too long: 204827 bytes of arguments "
                 "(the longest: 204800) and 0 of environment, where " +
                     most + " are allowed in all and 131072 for each");
}

TEST_P(ExecErrorsTest, TenMebibytesOfArguments) {
  Command command{"/bin/true"};
  command.env_clear().env("A", "1");
  for (int i = 0; i < 100; ++i) command.arg(std::string(100 << 10, 'x'));
  const std::string most = std::to_string(::sysconf(_SC_ARG_MAX));
  expect_refused(command, ErrorKind::argument_list_too_long,
                 "cannot execute '/bin/true': Argument list too long: 10240918 bytes of arguments "
                 "(the longest: 102400) and 12 of environment, where " +
                     most + " are allowed in all and 131072 for each");
}

TEST_P(ExecErrorsTest, LargeEnvironmentIsCountedToo) {
  const auto started = Command{"/bin/true"}.env("LARGE", std::string(200 << 10, 'x')).start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().kind, ErrorKind::argument_list_too_long);
}

}  // namespace
}  // namespace tine
