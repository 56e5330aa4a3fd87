// SPDX-License-Identifier: MIT
#include "tine/error.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <set>

#include "os/system_error.h"

namespace tine {
namespace {

using namespace std::chrono_literals;

TEST(ErrorTest, TextHasActionSubjectReasonAndHint) {
  Error error = os::make_error(Stage::exec, ENOENT, "gcc");
  EXPECT_EQ(error.to_string(), "cannot execute 'gcc': No such file or directory");
  error.hint = "not in PATH (/bin)";
  EXPECT_EQ(error.to_string(),
            "cannot execute 'gcc': No such file or directory: not in PATH (/bin)");
}

TEST(ErrorTest, WithoutErrnoTheKindSpeaks) {
  const Error error{ErrorKind::not_owner, 0, Stage::wait, "process 7", {}};
  EXPECT_EQ(error.to_string(),
            "cannot wait for 'process 7': the handle belongs to another process");
  EXPECT_EQ((Error{ErrorKind::undecodable, 0, Stage::decode, "Item", "at .1: no"}.to_string()),
            "cannot decode 'Item': the bytes are not such a value: at .1: no");
  EXPECT_EQ((Error{ErrorKind::unencodable, 0, Stage::encode, "Item", {}}.to_string()),
            "cannot encode 'Item': the value cannot travel");
}

TEST(ErrorTest, EveryStageHasItsOwnWords) {
  std::set<std::string> texts;
  for (int stage = 0; stage <= static_cast<int>(Stage::proc); ++stage) {
    texts.insert(Error{.errno_value = EPERM, .stage = static_cast<Stage>(stage)}.to_string());
  }
  EXPECT_EQ(texts.size(), static_cast<std::size_t>(Stage::proc) + 1);
}

TEST(ErrorTest, KindsFollowTheErrno) {
  EXPECT_EQ(os::kind_of(ENOENT), ErrorKind::not_found);
  EXPECT_EQ(os::kind_of(E2BIG), ErrorKind::argument_list_too_long);
  EXPECT_EQ(os::kind_of(EACCES), ErrorKind::not_permitted);
  EXPECT_EQ(os::kind_of(ENFILE), ErrorKind::too_many_files);
  EXPECT_EQ(os::kind_of(EDQUOT), ErrorKind::no_space);
  EXPECT_EQ(os::kind_of(ELOOP), ErrorKind::system);
}

TEST(ErrorTest, ExhaustionNamesTheLimit) {
  EXPECT_NE(os::make_error(Stage::pipe, EMFILE).hint.find("RLIMIT_NOFILE is "), std::string::npos);
  EXPECT_NE(os::make_error(Stage::fork, EAGAIN).hint.find("RLIMIT_NPROC is "), std::string::npos);
  EXPECT_EQ(os::make_error(Stage::read, EAGAIN).hint, "");
}

TEST(FailureTest, OneLineTellsHowAndTheProgramsLastWords) {
  Failure failure{.cause = Cause::exited, .status = ExitStatus::exited(2), .subject = "make"};
  failure.elapsed = 1200ms;
  failure.stderr_tail = "first\nno rule to make target\n\n";
  EXPECT_EQ(failure.to_string(), "'make' exited with 2 after 1.2 s: no rule to make target");
  failure.attempts = 3;
  EXPECT_EQ(failure.to_string(),
            "'make' exited with 2 after 1.2 s (attempt 3): no rule to make target");
}

TEST(FailureTest, NotStartedIsTheErrorsOwnText) {
  Failure failure{.cause = Cause::not_started, .subject = "x"};
  failure.error = os::make_error(Stage::exec, ENOENT, "x");
  EXPECT_EQ(failure.to_string(), "cannot execute 'x': No such file or directory");
}

TEST(FailureTest, EveryCauseHasAName) {
  std::set<std::string_view> names;
  for (int cause = 0; cause <= static_cast<int>(Cause::not_started); ++cause) {
    names.insert(to_string(static_cast<Cause>(cause)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Cause::not_started) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(DurationTextTest, ThreeFiguresInTheLargestUnit) {
  EXPECT_EQ(os::duration_text(1250ms), "1.25 s");
  EXPECT_EQ(os::duration_text(12ms), "12 ms");
  EXPECT_EQ(os::duration_text(5us), "5 us");
  EXPECT_EQ(os::duration_text(125s), "2 min 5 s");
  EXPECT_EQ(os::duration_text(2min), "2 min 0 s");
}

TEST(DurationTextTest, LongOnesDoNotOverflow) {
  EXPECT_EQ(os::duration_text(std::chrono::hours(24 * 365 * 200)), "105120000 min 0 s");
}

}  // namespace
}  // namespace tine
