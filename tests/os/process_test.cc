// SPDX-License-Identifier: MIT
#include "tine/process.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>

#include "os/process_table.h"
#include "support/clean_process_test.h"
#include "tine/launch.h"

namespace tine {
namespace {

using test::child_program;
using test::eventually;
struct ProcessTest : test::CleanProcessTest {};

/// The rest of a stat line, from the state on: pids 11, 22, 33 and start 4242.
constexpr const char* kFields =
    " S 11 22 33 0 -1 4194304 1 0 0 0 5 6 0 0 20 0 1 0 4242 1000 25 18446744073709551615 1 1";

std::optional<os::ProcessEntry> parse(const std::string& text) {
  os::ProcessEntry entry{};
  if (!os::parse_stat(text.data(), static_cast<long>(text.size()), entry)) return std::nullopt;
  return entry;
}

TEST_F(ProcessTest, StatIsReadBehindHostileNames) {
  for (const std::string name : {"plain", ") S 1 1 1 (", "a b) R 9 9", "))))", "", "\n) Z 1"}) {
    const auto entry = parse("77 (" + name + ")" + kFields);
    ASSERT_TRUE(entry) << name;
    EXPECT_EQ(entry->state, 'S');
    EXPECT_EQ(entry->parent, 11);
    EXPECT_EQ(entry->group, 22);
    EXPECT_EQ(entry->session, 33);
    EXPECT_EQ(entry->start, 4242u);
  }
}

TEST_F(ProcessTest, TruncatedStatIsRefused) {
  const std::string whole = std::string("77 (x)") + kFields;
  for (std::size_t size = 0; size < whole.find("4242"); ++size) {
    EXPECT_FALSE(parse(whole.substr(0, size))) << size;
  }
}

TEST_F(ProcessTest, InfoOfThisProcess) {
  const auto info = process_info(::getpid()).value();
  EXPECT_EQ(info.pid, ::getpid());
  EXPECT_EQ(info.parent, ::getppid());
  EXPECT_EQ(info.group, ::getpgrp());
  EXPECT_EQ(info.session, ::getsid(0));
  EXPECT_EQ(info.state, 'R');
  EXPECT_GE(info.threads, 1);
  EXPECT_GT(info.resident, 1u << 20);
  EXPECT_GE(info.virtual_size, info.resident);
  EXPECT_GT(info.start_ticks, 0u);
}

TEST_F(ProcessTest, InfoOfAHostileName) {
  auto child = launch({.name = ") S 1 1 ("}, [] { ::pause(); }).value();
  ASSERT_TRUE(eventually([&] { return process_info(child.pid())->name == ") S 1 1 ("; }));
  EXPECT_EQ(process_info(child.pid())->parent, ::getpid());
  EXPECT_TRUE(child.terminate());
}

TEST_F(ProcessTest, ReapedProcessIsNoSuchProcess) {
  auto child = launch([] {}).value();
  const pid_t pid = child.pid();
  ASSERT_TRUE(child.wait());
  const auto info = process_info(pid);
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().kind, ErrorKind::no_such_process);
  EXPECT_EQ(info.error().to_string(),
            "cannot look at process '" + std::to_string(pid) + "': No such process");
}

TEST_F(ProcessTest, AncestorsLeadFromUsToInit) {
  const auto chain = ancestors().value();
  ASSERT_GE(chain.size(), 2u);
  EXPECT_EQ(chain[0].pid, ::getpid());
  EXPECT_EQ(chain[1].pid, ::getppid());
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) EXPECT_EQ(chain[i].parent, chain[i + 1].pid);
}

TEST_F(ProcessTest, TreeHasChildrenAndGrandchildren) {
  std::string said;
  auto child = test::start_ready({child_program("spawn_grandchild"), "session", "wait"}, &said);
  const auto tree = process_tree(child.pid()).value();
  ASSERT_EQ(tree.size(), 2u);
  EXPECT_EQ(tree[0].pid, child.pid());
  EXPECT_EQ(tree[1].pid, std::stoi(said));
  EXPECT_TRUE(child.terminate());
}

TEST_F(ProcessTest, CommandLineJoinsTheWords) {
  auto child = test::start_ready({child_program("ignore_term"), "two words", ""});
  EXPECT_EQ(command_line(child.pid()).value(), child_program("ignore_term") + " two words");
  ASSERT_TRUE(child.send(Signal::kill));
  ASSERT_TRUE(eventually([&] { return !test::is_running(child.pid()); }));
  EXPECT_EQ(command_line(child.pid()).value(), "[ignore_term]");  // a zombie has no words left
  EXPECT_TRUE(child.wait());
}

TEST_F(ProcessTest, ParentOfAZombieSeesItsState) {
  auto child = launch([] {}).value();
  EXPECT_TRUE(eventually([&] { return process_info(child.pid())->state == 'Z'; }));
  EXPECT_TRUE(child.wait());
}

TEST_F(ProcessTest, MarkIsFoundOnlyAsAWholeVariable) {
  const auto marked = [](const std::string& name, const std::string& value) {
    return test::start_ready(Command({child_program("sleep_until_eof")})
                                 .env_clear()
                                 .env("A", "1")
                                 .env(name, value)
                                 .env("Z", "2")
                                 .in(Redirect::pipe()));
  };
  const std::string value = std::to_string(::getpid());
  auto target = marked("TINE_TEST_MARK", value);
  auto longer = marked("TINE_TEST_MARK", value + "0");
  auto prefixed = marked("XTINE_TEST_MARK", value);
  EXPECT_EQ(kill_marked("TINE_TEST_MARK=" + value), 1u);
  EXPECT_EQ(target.wait()->status.signal(), SIGKILL);
  EXPECT_TRUE(test::is_running(longer.pid()));
  EXPECT_TRUE(test::is_running(prefixed.pid()));
  EXPECT_EQ(kill_marked(""), 0u);
}

TEST_F(ProcessTest, MarkIsFoundBehindALargeEnvironment) {
  auto child = test::start_ready(Command({child_program("sleep_until_eof")})
                                     .env_clear()
                                     .env("LARGE", std::string(100'000, 'T'))
                                     .env("TINE_TEST_MARK", "x" + std::to_string(::getpid()))
                                     .in(Redirect::pipe()));
  EXPECT_EQ(kill_marked("TINE_TEST_MARK=x" + std::to_string(::getpid())), 1u);
  EXPECT_TRUE(child.wait());
}

}  // namespace
}  // namespace tine
