// SPDX-License-Identifier: MIT

/// Every option of a Command that changes the child's surroundings, as the child sees it.

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::child_program;
using test::in_a_fork;
using test::named_values;

struct OptionsTest : test::CleanProcessTest {};

std::map<std::string, std::string> identity(Command command = {child_program("print_identity")}) {
  return named_values(command.read().value());
}

Command print_identity() { return {child_program("print_identity")}; }

TEST_F(OptionsTest, WordsArriveAsTheyAre) {
  const auto seen = identity({child_program("print_identity"), "two words", "", "$HOME", "*",
                              std::string_view("view"), std::filesystem::path("/a/path"), 42, -1L,
                              18446744073709551615ull});
  EXPECT_EQ(seen.at("argv1"), "two words");
  EXPECT_EQ(seen.at("argv2"), "");
  EXPECT_EQ(seen.at("argv3"), "$HOME");
  EXPECT_EQ(seen.at("argv4"), "*");
  EXPECT_EQ(seen.at("argv5"), "view");
  EXPECT_EQ(seen.at("argv6"), "/a/path");
  EXPECT_EQ(seen.at("argv7"), "42");
  EXPECT_EQ(seen.at("argv8"), "-1");
  EXPECT_EQ(seen.at("argv9"), "18446744073709551615");
}

TEST_F(OptionsTest, WordsCanBeAdded) {
  const auto seen = identity(
      Command::of({child_program("print_identity"), "1"}).arg(2).args({"3", "4"}).arg("5"));
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(seen.at("argv" + std::to_string(i)), std::to_string(i));
}

TEST_F(OptionsTest, Argv0IsTheChildsNameAndNotTheProgram) {
  const auto seen = identity(print_identity().arg0("another name").arg("x"));
  EXPECT_EQ(seen.at("argv0"), "another name");
  EXPECT_EQ(seen.at("argv1"), "x");
  EXPECT_EQ(identity(print_identity().arg0("-login")).at("argv0"), "-login");
}

TEST_F(OptionsTest, ShellRunsTheScriptAndArgumentsAreNotPastedIn) {
  EXPECT_EQ(Command::shell("echo $((1 + 2)) | cat").read().value(), "3");
  EXPECT_EQ(Command::shell("printf '%s|' \"$@\"", {"a b", "$(id)", "'"}).read().value(),
            "a b|$(id)|'|");
}

TEST_F(OptionsTest, DirectoryIsTheChildsOnly) {
  const auto before = std::filesystem::current_path();
  EXPECT_EQ(identity(print_identity().dir("/usr")).at("cwd"), "/usr");
  EXPECT_EQ(std::filesystem::current_path(), before);
}

TEST_F(OptionsTest, UmaskIsTheChildsOnly) {
  const mode_t before = ::umask(022);
  EXPECT_EQ(identity(print_identity().umask(0137)).at("umask"), "137");
  EXPECT_EQ(identity(print_identity().umask(0)).at("umask"), "0");
  EXPECT_EQ(identity().at("umask"), "22");
  EXPECT_EQ(::umask(before), 022u);
}

TEST_F(OptionsTest, ProcessGroupIsItsOwnUnlessTheCallersIsWanted) {
  const std::string callers = std::to_string(::getpgrp());
  for (const auto which : {ProcessGroup::automatic, ProcessGroup::own}) {
    const auto seen = identity(print_identity().process_group(which));
    EXPECT_EQ(seen.at("pgid"), seen.at("pid"));
  }
  EXPECT_EQ(identity(print_identity().process_group(ProcessGroup::callers)).at("pgid"), callers);
  const auto refused =
      print_identity().process_group(ProcessGroup::callers).new_session().capture();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.value().kind, ErrorKind::invalid_argument);
}

TEST_F(OptionsTest, TreeInTheCallersGroupIsEndedByItsTimeout) {
  const auto ended = Command{child_program("spawn_grandchild"), "wait"}
                         .process_group(ProcessGroup::callers)
                         .timeout(300ms)
                         .capture();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().cause, Cause::timed_out);
  const int grandchild = std::stoi(ended.error().output);
  EXPECT_TRUE(test::eventually([&] { return !test::is_running(grandchild); }));
}

TEST_F(OptionsTest, NiceIsAnIncrement) {
  in_a_fork([] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 3), 0);
    EXPECT_EQ(identity(print_identity().nice(4)).at("nice"), "7");
    EXPECT_EQ(identity(print_identity().nice(100)).at("nice"), "19");
    EXPECT_EQ(identity().at("nice"), "3");
  });
}

TEST_F(OptionsTest, AffinityIsTheListedCpus) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &allowed)) ++cpu;
  EXPECT_EQ(Command({"sh", "-c", "grep Cpus_allowed_list /proc/self/status | cut -f2"})
                .affinity({cpu})
                .read()
                .value(),
            std::to_string(cpu));
}

TEST_F(OptionsTest, LimitsAreSetSoftAndHard) {
  EXPECT_EQ(Command({"bash", "-c", "ulimit -St; ulimit -Ht; ulimit -Sf"})
                .limit(RLIMIT_CPU, 77)
                .limit(RLIMIT_FSIZE, 1_MiB)
                .read()
                .value(),
            "77\n77\n1024");
}

TEST_F(OptionsTest, FileSizeLimitKillsTheWriter) {
  const test::TemporaryDirectory dir;
  const auto ended = Command({"dd", "if=/dev/zero", "bs=64k", "count=2", "status=none"})
                         .out(Redirect::write(dir / "f"))
                         .limit(RLIMIT_FSIZE, 65536)
                         .limit(RLIMIT_CORE, 0)
                         .unchecked()
                         .run()
                         .value();
  EXPECT_EQ(ended.status.signal(), SIGXFSZ);
}

TEST_F(OptionsTest, NewSessionHasNoTerminal) {
  const auto seen = identity(print_identity().new_session());
  EXPECT_EQ(seen.at("sid"), seen.at("pid"));
  EXPECT_EQ(seen.at("pgid"), seen.at("pid"));
  EXPECT_EQ(Command({"sh", "-c", "(: </dev/tty) 2>/dev/null && echo terminal || echo none"})
                .new_session()
                .read()
                .value(),
            "none");
}

TEST_F(OptionsTest, CommandIsAValueThatRunsAgain) {
  const Command base{"sh", "-c", "echo $X"};
  Command one = base;
  Command two = base;
  one.env("X", "1");
  two.env("X", "2");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(one.read().value(), "1");
    EXPECT_EQ(two.read().value(), "2");
  }
}

TEST_F(OptionsTest, LaterSettingsWin) {
  EXPECT_EQ(identity(print_identity().dir("/usr").dir("/etc")).at("cwd"), "/etc");
  EXPECT_EQ(Command({"cat"}).input("first").input("second").read().value(), "second");
  EXPECT_TRUE(Command({"sleep", 0}).timeout(1ns).timeout(0ns).run());
}

TEST_F(OptionsTest, TextOfACommandCanBePastedIntoAShell) {
  const Command command{"printf", "%s|", "plain", "two words", "it's", "", "$HOME", "a\nb", "*"};
  EXPECT_EQ(command.to_string(), "printf '%s|' plain 'two words' 'it'\\''s' '' '$HOME' 'a\nb' '*'");
  EXPECT_EQ(Command::shell(command.to_string()).read().value(), command.read().value());
}

// ---- Environment ----

std::string environment_of(Command command) { return command.out(Redirect::pipe()).read().value(); }

TEST_F(OptionsTest, EnvironmentIsInheritedAndAdded) {
  in_a_fork([] {
    ::setenv("TINE_TEST_A", "inherited", 1);
    EXPECT_EQ(
        environment_of(
            Command({"sh", "-c", "echo $TINE_TEST_A-$TINE_TEST_B"}).env("TINE_TEST_B", "added")),
        "inherited-added");
  });
}

TEST_F(OptionsTest, ClearedEnvironmentHoldsOnlyWhatIsAdded) {
  EXPECT_EQ(environment_of(Command({"/usr/bin/env"}).env_clear()), "");
  EXPECT_EQ(environment_of(Command({"/usr/bin/env"}).env("GONE", "1").env_clear().env("A", "b")),
            "A=b");
}

TEST_F(OptionsTest, RemovedVariableIsGone) {
  in_a_fork([] {
    ::setenv("TINE_TEST_A", "x", 1);
    ::setenv("TINE_TEST_AB", "stays", 1);
    EXPECT_EQ(environment_of(Command({"sh", "-c", "echo ${TINE_TEST_A-unset} $TINE_TEST_AB"})
                                 .env_remove("TINE_TEST_A")
                                 .env_remove("TINE_TEST_NEVER_THERE")),
              "unset stays");
  });
}

TEST_F(OptionsTest, DuplicatesCollapseToTheLastWord) {
  const auto count = [](const Command& command) { return environment_of(command); };
  EXPECT_EQ(count(Command({"/usr/bin/env"}).env_clear().env("A", "1").env("B", "x").env("A", "2")),
            "B=x\nA=2");
  EXPECT_EQ(count(Command({"/usr/bin/env"}).env_clear().env("A", "1").env_remove("A")), "");
  EXPECT_EQ(
      count(Command({"/usr/bin/env"}).env_clear().env("A", "1").env_remove("A").env("A", "3")),
      "A=3");
}

TEST_F(OptionsTest, DuplicatesOfTheHostAreReplacedTogether) {
  in_a_fork([] {
    static char first[] = "TINE_DUP=1";
    static char second[] = "TINE_DUP=2";
    static char* both[] = {first, second, nullptr};
    char** before = environ;
    environ = both;
    const auto replaced = environment_of(Command({"/usr/bin/env"}).env("TINE_DUP", "3"));
    const auto removed = environment_of(Command({"/usr/bin/env"}).env_remove("TINE_DUP"));
    environ = before;
    EXPECT_EQ(replaced, "TINE_DUP=3");
    EXPECT_EQ(removed, "");
  });
}

TEST_F(OptionsTest, ValuesMayHoldAnything) {
  const std::string value = "a=b\n\"' \xff end";
  EXPECT_EQ(environment_of(Command({"sh", "-c", "printf %s \"$X\""}).env("X", value)), value);
  EXPECT_EQ(environment_of(Command({"sh", "-c", "echo \"${X-unset}.\""}).env("X", "")), ".");
}

TEST_F(OptionsTest, HostWithoutAnEnvironmentCanLaunch) {
  in_a_fork([] {
    ::clearenv();
    EXPECT_EQ(environment_of(Command({"/usr/bin/env"})), "");
    EXPECT_EQ(environment_of(Command({"/usr/bin/env"}).env("A", "1")), "A=1");
  });
}

}  // namespace
}  // namespace tine
