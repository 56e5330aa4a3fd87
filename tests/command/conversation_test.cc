// SPDX-License-Identifier: MIT
#include "tine/conversation.h"

#include <signal.h>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::child_program;

struct ConversationTest : test::CleanProcessTest {};

TEST_F(ConversationTest, LinesGoThereAndBack) {
  auto cat = Command{"cat"}.converse().value();
  for (int i = 0; i < 100; ++i) {
    const std::string line = "line " + std::to_string(i);
    ASSERT_TRUE(cat.send(line + "\n"));
    ASSERT_EQ(cat.read_line().value(), line);
  }
  EXPECT_TRUE(cat.finish());
}

TEST_F(ConversationTest, MebibytesBothWaysDoNotDeadlock) {
  auto cat = Command{"cat"}.converse().value();
  std::string text;
  for (int i = 0; text.size() < 1_MiB; ++i) text += std::to_string(i) + "\n";
  ASSERT_TRUE(cat.send(text));  // far above both pipes, and nobody has read a word yet
  ASSERT_TRUE(cat.send(text));
  const auto said = cat.finish();
  ASSERT_TRUE(said);
  EXPECT_TRUE(said->out == text + text);
}

TEST_F(ConversationTest, LastLineNeedsNoNewlineAndThenComesNothing) {
  auto child = Command{"printf", "a\\nb"}.converse().value();
  EXPECT_EQ(child.read_line().value(), "a");
  EXPECT_EQ(child.read_line().value(), "b");
  EXPECT_EQ(child.read_line().value(), std::nullopt);
  EXPECT_EQ(child.read_line().value(), std::nullopt);
  EXPECT_TRUE(child.finish());
}

TEST_F(ConversationTest, SilentChildTimesOutAndCanStillBeTalkedTo) {
  auto cat = Command{"cat"}.converse().value();
  const auto none = cat.read_line(5ms);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::timed_out);
  EXPECT_TRUE(cat.send("now\n"));
  EXPECT_EQ(cat.read_line().value(), "now");
  EXPECT_TRUE(cat.finish());
}

TEST_F(ConversationTest, SendTimesOutWhenNobodyReads) {
  auto deaf = Command{"sleep", 1000}.converse().value();
  const auto sent = deaf.send(std::string(1_MiB, 'x'), 20ms);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().kind, ErrorKind::timed_out);
}

TEST_F(ConversationTest, DeadChildIsABrokenPipeAndNotASignal) {
  auto child = Command{"true"}.converse().value();
  EXPECT_TRUE(test::eventually([&] {
    const auto sent = child.send("anybody?\n");
    return !sent && sent.error().kind == ErrorKind::broken_pipe;
  }));
  EXPECT_EQ(child.read_line().value(), std::nullopt);
  EXPECT_TRUE(child.finish());
}

TEST_F(ConversationTest, InputThatWasClosedCannotBeSentTo) {
  auto cat = Command{"cat"}.converse().value();
  cat.close_input();
  EXPECT_EQ(cat.send("x").error().kind, ErrorKind::broken_pipe);
  EXPECT_TRUE(cat.finish());
}

TEST_F(ConversationTest, EndlessTalkMeetsTheLimit) {
  auto yes = Command{"yes"}.capture_limit(10'000).converse().value();
  bool limited = false;
  for (int i = 0; i < 100'000 && !limited; ++i) {
    const auto sent = yes.send("x");
    limited = !sent && sent.error().kind == ErrorKind::output_limit;
    if (!sent && !limited) break;
  }
  EXPECT_TRUE(limited);
}

TEST_F(ConversationTest, LineAboveTheLimitIsAnError) {
  auto child = Command{"head", "-c", "100000", "/dev/zero"}.capture_limit(1000).converse().value();
  const auto line = child.read_line();
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().kind, ErrorKind::output_limit);
  EXPECT_EQ(line.error().to_string(),
            "cannot read 'head': more output than the capture limit: the limit is 1000 bytes");
}

TEST_F(ConversationTest, FinishOfAChildThatSaysTooMuchIsAFailure) {
  auto yes = Command{"yes"}.capture_limit(10'000).converse().value();
  const auto said = yes.finish();
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().cause, Cause::cancelled);
  ASSERT_TRUE(said.error().error);
  EXPECT_EQ(said.error().error->kind, ErrorKind::output_limit);
}

TEST_F(ConversationTest, FinishGivesTheStatus) {
  auto failed = Command({"sh", "-c", "read x; echo $x; exit 3"}).converse().value();
  ASSERT_TRUE(failed.send("word\n"));
  const auto said = failed.finish();
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().status->code(), 3);
  EXPECT_EQ(said.error().output, "word\n");
  auto accepted = Command({"sh", "-c", "exit 3"}).unchecked().converse().value();
  EXPECT_EQ(accepted.finish()->status.code(), 3);
}

TEST_F(ConversationTest, TimeoutOfTheCommandHoldsWhileNobodyWaits) {
  auto child = Command({"cat"}).timeout(50ms).converse().value();
  EXPECT_EQ(child.read_line().value(), std::nullopt);  // it has been ended
  const auto said = child.finish();
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().cause, Cause::timed_out);
}

TEST_F(ConversationTest, CancelledConversationEndsItsWaits) {
  CancelSource stop;
  auto cat = Command({"cat"}).cancel(stop.token()).converse().value();
  ASSERT_TRUE(cat.send("x\n"));
  EXPECT_EQ(cat.read_line().value(), "x");
  stop.cancel();
  EXPECT_EQ(cat.read_line().error().kind, ErrorKind::cancelled);
  EXPECT_EQ(cat.send("y").error().kind, ErrorKind::cancelled);
  const auto said = cat.finish();
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().cause, Cause::cancelled);
}

TEST_F(ConversationTest, GrandchildHoldingThePipeIsNotWaitedFor) {
  auto child = Command({child_program("spawn_grandchild"), "session"}).converse().value();
  const pid_t grandchild = std::stoi(child.read_line().value().value());
  EXPECT_TRUE(child.finish());
  EXPECT_TRUE(test::is_running(grandchild));
  ::kill(grandchild, SIGKILL);
}

TEST_F(ConversationTest, AbandonedConversationEndsItsChild) {
  pid_t pid = 0;
  {
    auto cat = Command{"cat"}.converse().value();
    pid = cat.child().pid();
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(ConversationTest, ProgramThatCannotStartIsAnError) {
  EXPECT_EQ(Command{"/no/such"}.converse().error().kind, ErrorKind::not_found);
}

}  // namespace
}  // namespace tine
