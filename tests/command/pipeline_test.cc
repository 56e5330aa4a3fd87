// SPDX-License-Identifier: MIT
#include "tine/pipeline.h"

#include <signal.h>
#include <unistd.h>

#include "command/exits.h"
#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::child_program;
using test::eventually;
using test::exits;
using test::is_running;

struct PipelineTest : test::CleanProcessTest {};

TEST_F(PipelineTest, SaysWhatTheShellSays) {
  const test::TemporaryDirectory dir;
  for (const char* name : {"a.py", "b.py", "c.txt", "d e.py"}) dir.write(name, "");
  const auto piped =
      (Command({"ls", "-al"}).dir(dir.path()) | Command{"grep", "-F", ".py"} | Command{"wc", "-l"})
          .read();
  EXPECT_EQ(piped.value(),
            Command::shell("ls -al | grep -F .py | wc -l").dir(dir.path()).read().value());
  EXPECT_EQ(piped.value(), "3");
}

TEST_F(PipelineTest, EveryStagesStatusIsKeptAndTheRightmostFailureDecides) {
  const auto failed = (exits(1) | exits(2) | exits(0)).run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::exited);
  EXPECT_EQ(failed.error().status->code(), 2);
  EXPECT_EQ(failed.error().message,
            "exit_with: exited with 1 | exit_with: exited with 2 | "
            "exit_with: exited with 0");
  const auto value = (exits(1) | exits(2) | exits(0)).unchecked().run().value();
  ASSERT_EQ(value.stages.size(), 3u);
  EXPECT_EQ(value.stages[0].finished.status.code(), 1);
  EXPECT_EQ(value.stages[1].finished.status.code(), 2);
  EXPECT_EQ(value.stages[2].finished.status.code(), 0);
  EXPECT_EQ(value.status.code(), 2);
}

TEST_F(PipelineTest, AllSucceedingIsASuccess) {
  const auto value = (exits(0) | exits(0)).run().value();
  EXPECT_TRUE(value.status.success());
  EXPECT_GT(value.usage.wall, 0ns);
}

TEST_F(PipelineTest, WriterWhoseReaderLeftIsNoFailure) {
  const auto value = (Command{"yes"} | Command{"head", "-n", "1"}).capture().value();
  EXPECT_EQ(value.out, "y\n");
  EXPECT_TRUE(value.stages[0].reader_left);
  EXPECT_EQ(value.stages[0].finished.status.signal(), SIGPIPE);
  EXPECT_FALSE(value.stages[1].reader_left);
  EXPECT_TRUE(value.status.success());
}

TEST_F(PipelineTest, SigpipeOfTheLastStageIsAFailure) {
  const auto failed = (Command{"true"} | Command{child_program("die_by"), SIGPIPE}).run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().status->signal(), SIGPIPE);
}

TEST_F(PipelineTest, StageThatCannotStartLeavesNothing) {
  const Command good{child_program("sleep_until_eof")};
  const Command bad{"/no/such/program"};
  const Pipeline pipelines[] = {Command(bad) | good | good, Command(good) | bad | good,
                                Command(good) | good | bad};
  for (const auto& pipeline : pipelines) {
    for (const auto& result : {pipeline.run(), pipeline.capture()}) {
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().cause, Cause::not_started);
      EXPECT_EQ(result.error().to_string(),
                "cannot execute '/no/such/program': No such file or directory");
    }
    EXPECT_EQ(pipeline.start().error().kind, ErrorKind::not_found);
    EXPECT_EQ(process_tree(::getpid())->size(), 1u);
  }
}

TEST_F(PipelineTest, MiddleOfManyStages) {
  Pipeline pipeline{Command{"seq", 1000}, Command{"cat"}};
  for (int i = 0; i < 20; ++i) pipeline.then({"cat"});
  EXPECT_EQ(Pipeline(pipeline).then({"wc", "-l"}).read().value(), "1000");
}

TEST_F(PipelineTest, MebibytesGoThroughUnchanged) {
  std::string text(10_MiB, 'x');
  for (std::size_t i = 0; i < text.size(); i += 997) text[i] = static_cast<char>(i);
  const auto value =
      (Command{"cat"}.input(text) | Command{"cat"} | Command{"cat"}).capture().value();
  EXPECT_TRUE(value.out == text);
}

TEST_F(PipelineTest, CaptureHearsEveryStagesStderr) {
  const auto value =
      (Command{"sh", "-c", "echo one >&2; echo x"} | Command{"sh", "-c", "cat; echo two >&2"})
          .capture()
          .value();
  EXPECT_EQ(value.out, "x\n");
  EXPECT_NE(value.err.find("one\n"), std::string::npos);
  EXPECT_NE(value.err.find("two\n"), std::string::npos);
}

TEST_F(PipelineTest, RedirectionsOfAStageHoldAgainstThePipe) {
  const test::TemporaryDirectory dir;
  EXPECT_EQ(
      (Command({"echo", "x"}).out(Redirect::write(dir / "f")) | Command{"cat"}).read().value(), "");
  EXPECT_EQ(test::read_text(dir / "f"), "x\n");
  EXPECT_EQ((Command{"echo", "x"} | Command{"cat"}.input("own")).read().value(), "own");
  EXPECT_EQ((Command({"sh", "-c", "echo e >&2"}).err(Redirect::same_as(1)) | Command{"cat"})
                .read()
                .value(),
            "e");
}

TEST_F(PipelineTest, StagesShareOneProcessGroup) {
  const std::string text =
      (Command{child_program("print_identity")} | Command{"sh", "-c", "cat; ps -o pgid= -p $$"})
          .read()
          .value();
  const auto who = test::named_values(text);
  EXPECT_EQ(who.at("pgid"), who.at("pid"));  // the first leads
  EXPECT_EQ(std::stoi(text.substr(text.rfind('\n') + 1)), std::stoi(who.at("pgid")));
}

TEST_F(PipelineTest, NoDescriptorOfOneStageLeaksIntoAnother) {
  EXPECT_EQ((Command{"true"} | Command{child_program("print_fds")} | Command{"cat"}).read().value(),
            "0 1 2");
}

TEST_F(PipelineTest, TimeoutEndsAllStagesAndTheirTrees) {
  const auto failed =
      (Command{child_program("spawn_grandchild"), "session", "wait"} |
       Command{"sh", "-c", "trap '' TERM; read x; echo $x; while :; do sleep 0.01; done"})
          .timeout(500ms)
          .grace(10ms)
          .capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().cause, Cause::timed_out);
  if (!failed.error().output.empty()) {
    EXPECT_TRUE(eventually([&] { return !is_running(std::stoi(failed.error().output)); }));
  }
}

TEST_F(PipelineTest, WhatIsSaidDuringTheGraceIsHeard) {
  const auto failed =
      (Command{"sleep", 1000} | Command{"sh", "-c",
                                        "trap 'head -c 300000 /dev/zero; exit 5' TERM; echo ready; "
                                        "while :; do sleep 0.01; done"})
          .timeout(500ms)
          .grace(1h)
          .capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().status->code(), 5);
  EXPECT_EQ(failed.error().output.size(), 300006u);
}

TEST_F(PipelineTest, OutputLimitsFailOrTruncate) {
  const auto failed = (Command{"yes"} | Command{"cat"}).capture_limit(1000).capture();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().error->kind, ErrorKind::output_limit);
  EXPECT_EQ(failed.error().output.size(), 1000u);
  const auto cut =
      (Command{"seq", 10000} | Command{"cat"}).capture_limit(10, OnLimit::truncate).capture();
  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->truncated);
  EXPECT_EQ(cut->out, "1\n2\n3\n4\n5\n");
}

TEST_F(PipelineTest, LeftoversInTheGroupDieWithThePipeline) {
  const auto value = (Command({child_program("spawn_grandchild")}).err(Redirect::same_as(1)) |
                      Command{"head", "-n", "1"})
                         .capture();
  ASSERT_TRUE(value) << value.error().to_string();
  EXPECT_TRUE(eventually([&] { return !is_running(std::stoi(value->out)); }));
}

TEST_F(PipelineTest, StartGivesAChildPerStage) {
  auto running =
      (Command({"cat"}).in(Redirect::pipe()) | Command({"tr", "a-z", "A-Z"}).out(Redirect::pipe()))
          .start()
          .value();
  ASSERT_EQ(running.stages.size(), 2u);
  ASSERT_EQ(::write(running.stages[0].in().get(), "text\n", 5), 5);
  running.stages[0].in().reset();
  EXPECT_EQ(test::read_to_end(running.stages[1].out()), "TEXT\n");
  for (const auto& answer : wait_all(running.stages)) EXPECT_TRUE(answer->status.success());
}

TEST_F(PipelineTest, AbandonedStagesAreEnded) {
  std::vector<pid_t> pids;
  {
    auto running =
        (Command{"sleep", 1000} | Command{"sleep", 1000} | Command{"cat"}).start().value();
    for (const auto& stage : running.stages) pids.push_back(stage.pid());
  }
  for (const pid_t pid : pids) EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(PipelineTest, WhatAStageLeftInTheGroupGoesWithTheLastStage) {
  auto running =
      (Command({child_program("spawn_grandchild")}) | Command({"cat"}).out(Redirect::pipe()))
          .start()
          .value();
  const pid_t grandchild = std::stoi(test::read_line(running.stages[1].out()));
  EXPECT_TRUE(running.stages[0].wait());
  EXPECT_TRUE(test::is_running(grandchild));  // it may still be working for the other stage
  EXPECT_TRUE(running.stages[1].send(Signal::kill));
  EXPECT_TRUE(running.stages[1].wait());
  EXPECT_TRUE(eventually([&] { return !test::is_running(grandchild); }));
}

TEST_F(PipelineTest, DeafStagesAreKilledAfterTheGrace) {
  std::vector<pid_t> pids;
  {
    Pipeline pipeline = Command({child_program("ignore_term")}).out(Redirect::null()) |
                        Command({child_program("ignore_term")}).out(Redirect::null());
    auto running = pipeline.grace(std::chrono::milliseconds(20)).start().value();
    for (const auto& stage : running.stages) pids.push_back(stage.pid());
  }
  for (const pid_t pid : pids) EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(PipelineTest, PipelineIsAValue) {
  const Pipeline pipeline = Command{"echo", "x"} | Command{"cat"};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pipeline.read().value(), "x");
  EXPECT_EQ(pipeline.commands().size(), 2u);
}

TEST_F(PipelineTest, FirstStageMayHaveASessionOfItsOwn) {
  const auto said = (Command{"echo", "hello"}.new_session() | Command{"cat"}).read();
  ASSERT_TRUE(said) << said.error().to_string();
  EXPECT_EQ(*said, "hello");
}

}  // namespace
}  // namespace tine
