// SPDX-License-Identifier: MIT
#include "tine/series.h"

#include "command/exits.h"
#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using test::child_program;
using test::exits;

struct SeriesTest : test::CleanProcessTest {};

/// `0`, `3`, ... the exit code of a step; `-` skipped; `!` not started.
std::string told(const SeriesOutcome& outcome) {
  std::string text;
  for (const auto& step : outcome.steps) {
    if (step.skipped()) {
      text += '-';
    } else if (const auto& result = *step.outcome; result) {
      text += std::to_string(*result->status.code());
    } else {
      text += result.error().status ? std::to_string(*result.error().status->code()) : "!";
    }
  }
  return text;
}

TEST_F(SeriesTest, AllOfRunsUntilOneFails) {
  const auto outcome = Series::all_of({exits(0), exits(3), exits(0)}).run_all();
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.decided_by, 1u);
  EXPECT_EQ(told(outcome), "03-");
  EXPECT_EQ(outcome.steps[2].name, exits(0).to_string());
}

TEST_F(SeriesTest, AllOfSucceedsWhenAllDo) {
  const auto outcome = Series::all_of({exits(0), exits(0)}).run_all();
  EXPECT_TRUE(outcome.success);
  EXPECT_EQ(outcome.decided_by, 1u);
  EXPECT_EQ(told(outcome), "00");
}

TEST_F(SeriesTest, AnyOfRunsUntilOneSucceeds) {
  const auto outcome = Series::any_of({exits(1), exits(0), exits(2)}).run_all();
  EXPECT_TRUE(outcome.success);
  EXPECT_EQ(outcome.decided_by, 1u);
  EXPECT_EQ(told(outcome), "10-");
}

TEST_F(SeriesTest, AnyOfFailsWhenAllDo) {
  const auto outcome = Series::any_of({exits(1), exits(2)}).run_all();
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.decided_by, 1u);
  EXPECT_EQ(told(outcome), "12");
}

TEST_F(SeriesTest, EmptyOnesAreTheNeutralElements) {
  EXPECT_TRUE(Series::all_of({}).run());
  EXPECT_FALSE(Series::any_of({}).run());
  EXPECT_EQ(Series::all_of({}).run_all().decided_by, std::nullopt);
  EXPECT_EQ(Series::any_of({}).run().error().cause, Cause::not_started);
}

TEST_F(SeriesTest, StepThatCannotStartIsAFailure) {
  EXPECT_EQ(told(Series::all_of({{"/no/such"}, exits(0)}).run_all()), "!-");
  EXPECT_EQ(told(Series::any_of({{"/no/such"}, exits(0)}).run_all()), "!0");
}

TEST_F(SeriesTest, RunGivesTheDecidingFailure) {
  const auto failed = Series::all_of({exits(0), exits(3), exits(4)}).run();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().status->code(), 3);
  EXPECT_EQ(Series::any_of({exits(3), exits(4)}).run().error().status->code(), 4);
  EXPECT_EQ(told(Series::all_of({exits(0)}).run().value()), "0");
}

TEST_F(SeriesTest, UncheckedStepsStillDecideByTheirStatus) {
  const auto outcome = Series::all_of({exits(3).unchecked(), exits(0)}).run_all();
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(told(outcome), "3-");
  EXPECT_EQ(Series::all_of({exits(3).unchecked()}).run().error().status->code(), 3);
}

TEST_F(SeriesTest, StepsKeepTheirOptions) {
  const test::TemporaryDirectory dir;
  EXPECT_TRUE(Series::all_of({Command({"sh", "-c", "echo $X >f"}).dir(dir.path()).env("X", "1"),
                              Command({"sh", "-c", "cat f f >g"}).dir(dir.path())})
                  .run());
  EXPECT_EQ(test::read_text(dir / "g"), "1\n1\n");
}

TEST_F(SeriesTest, CancelledSeriesSkipsTheRest) {
  CancelSource stop;
  stop.cancel();
  auto series = Series::any_of({{"sleep", 1000}, exits(0)});
  series.cancel(stop.token());
  const auto outcome = series.run_all();
  EXPECT_FALSE(outcome.success);
  EXPECT_EQ(outcome.steps[0].outcome->error().cause, Cause::cancelled);
  EXPECT_TRUE(outcome.steps[1].skipped());
}

}  // namespace
}  // namespace tine
