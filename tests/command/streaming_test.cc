// SPDX-License-Identifier: MIT

/// each_line and each_chunk.

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <thread>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using namespace tine::literals;
using test::child_program;

struct StreamingTest : test::CleanProcessTest {};

std::vector<std::string> lines_of(const Command& command) {
  std::vector<std::string> lines;
  const auto ended = command.each_line([&](Piece line) {
    lines.push_back(std::to_string(line.fd) + ":" + std::string(line.text));
    return true;
  });
  EXPECT_TRUE(ended);
  return lines;
}

using Lines = std::vector<std::string>;

TEST_F(StreamingTest, WhatEndsInTimeWhileALineIsBeingReadHasNotTimedOut) {
  const auto ended = Command{"sh", "-c", "echo $$"}.timeout(1s).each_line([](Piece line) {
    const pid_t pid = std::stoi(std::string(line.text));
    EXPECT_TRUE(test::eventually([&] { return !test::is_running(pid); }));
    std::this_thread::sleep_for(1100ms);  // beyond the limit
    return true;
  });
  EXPECT_TRUE(ended) << ended.error().to_string();
}

TEST_F(StreamingTest, LinesComeWithoutTheirNewlines) {
  EXPECT_EQ(lines_of({"printf", "a\\n\\nb\\n"}), (Lines{"1:a", "1:", "1:b"}));
  EXPECT_EQ(lines_of({"true"}), Lines{});
  EXPECT_EQ(lines_of({"printf", "\\n"}), Lines{"1:"});
}

TEST_F(StreamingTest, LastLineNeedsNoNewline) {
  EXPECT_EQ(lines_of({"printf", "a\\nend"}), (Lines{"1:a", "1:end"}));
}

TEST_F(StreamingTest, LinesOfBothStreamsAreTold) {
  const auto lines = lines_of({"sh", "-c", "echo out; echo err >&2"});
  EXPECT_EQ((std::multiset<std::string>(lines.begin(), lines.end())),
            (std::multiset<std::string>{"1:out", "2:err"}));
}

TEST_F(StreamingTest, LinesArriveWhileTheChildStillRuns) {
  auto go = Pipe::create().value();
  int seen = 0;
  const auto ended = Command({"sh", "-c", "echo first; read x; echo second"})
                         .in(Redirect::fd(go.reader.fd().get()))
                         .each_line([&](Piece line) {
                           if (++seen == 1) {
                             EXPECT_EQ(line.text, "first");
                             EXPECT_TRUE(go.writer.write_all("\n"));  // or there is no second line
                           }
                           return true;
                         });
  EXPECT_TRUE(ended);
  EXPECT_EQ(seen, 2);
}

TEST_F(StreamingTest, LinesInHalvesArePutTogether) {
  EXPECT_EQ(lines_of({"sh", "-c", "printf ab; sleep 0.02; printf 'cd\\nef'; sleep 0.02; echo gh"}),
            (Lines{"1:abcd", "1:efgh"}));
}

TEST_F(StreamingTest, LinesAboveOneMebibyteComeInPieces) {
  std::size_t total = 0;
  std::size_t longest = 0;
  int pieces = 0;
  const auto ended = Command({"sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end"})
                         .each_line([&](Piece line) {
                           total += line.text.size();
                           longest = std::max(longest, line.text.size());
                           ++pieces;
                           return true;
                         });
  EXPECT_TRUE(ended);
  EXPECT_EQ(total, 5'000'003u);
  EXPECT_GE(pieces, 5);
  EXPECT_LE(longest, 1_MiB + 64_KiB);
}

TEST_F(StreamingTest, LineOfExactlyOneMebibyteIsOneLine) {
  std::vector<std::size_t> sizes;
  const auto ended = Command({"sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' x; echo; echo end"})
                         .each_line([&](Piece line) {
                           sizes.push_back(line.text.size());
                           return true;
                         });
  EXPECT_TRUE(ended);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1_MiB, 3}));
}

TEST_F(StreamingTest, FalseEndsTheStreamAndThatIsASuccess) {
  int seen = 0;
  const auto ended = Command{"yes"}.each_line([&](Piece) { return ++seen < 3; });
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->status.signal(), SIGPIPE);
  EXPECT_EQ(seen, 3);
}

TEST_F(StreamingTest, AfterFalseNothingMoreIsTold) {
  int seen = 0;
  const auto ended =
      Command({"sh", "-c", "trap '' PIPE; echo 1; echo 2 >&2; echo 3; echo 4 >&2; exit 0"})
          .each_line([&](Piece) { return ++seen < 1; });
  EXPECT_TRUE(ended) << ended.error().to_string();
  EXPECT_EQ(seen, 1);
}

TEST_F(StreamingTest, OtherFailuresAfterFalseStayFailures) {
  const auto ended =
      Command({"sh", "-c", "trap '' PIPE; echo 1; exit 9"}).each_line([](Piece) { return false; });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().status->code(), 9);
}

TEST_F(StreamingTest, DeathBySigpipeOfItsOwnIsAFailure) {
  const auto ended =
      Command({child_program("die_by"), SIGPIPE}).each_line([](Piece) { return true; });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().cause, Cause::signaled);
}

TEST_F(StreamingTest, ExceptionOfTheHandlerEndsTheChildAndGoesOn) {
  const Command command = Command{"sh", "-c", "echo $$; exec sleep 1000"};
  pid_t pid = 0;
  EXPECT_THROW((void)command.each_line([&](Piece line) -> bool {
    pid = std::stoi(std::string(line.text));
    throw std::runtime_error("enough");
  }),
               std::runtime_error);
  EXPECT_GT(pid, 0);
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(StreamingTest, ChunksAreTheBytes) {
  std::string out;
  std::string err;
  const auto ended = Command({child_program("flood"), 1'000'000}).each_chunk([&](Piece piece) {
    EXPECT_LE(piece.text.size(), 64_KiB);
    EXPECT_FALSE(piece.text.empty());
    (piece.fd == 1 ? out : err) += piece.text;
    return true;
  });
  EXPECT_TRUE(ended);
  EXPECT_EQ(out, std::string(1'000'000, 'o'));
  EXPECT_EQ(err, std::string(1'000'000, 'e'));
}

TEST_F(StreamingTest, ChunksCanBeStopped) {
  std::size_t seen = 0;
  const auto ended = Command{"yes"}.each_chunk([&](Piece piece) {
    seen += piece.text.size();
    return seen < 300'000;
  });
  EXPECT_TRUE(ended);
  EXPECT_LT(seen, 400'000u);
}

TEST_F(StreamingTest, TimeoutsAndExitCodesAreAsElsewhere) {
  const auto late =
      Command({"sh", "-c", "echo x; exec sleep 1000"}).timeout(100ms).each_line([](Piece) {
        return true;
      });
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().cause, Cause::timed_out);
  const auto failed = Command({"sh", "-c", "echo x; exit 3"}).each_line([](Piece) { return true; });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().status->code(), 3);
}

TEST_F(StreamingTest, RedirectedStreamsAreNotTold) {
  EXPECT_EQ(lines_of(Command({"sh", "-c", "echo out; echo err >&2"}).err(Redirect::null())),
            Lines{"1:out"});
}

TEST_F(StreamingTest, GigabytesNeedBoundedMemory) {
  rusage before{};
  ::getrusage(RUSAGE_SELF, &before);
  std::size_t total = 0;
  const auto ended = Command({"head", "-c", 1_GiB, "/dev/zero"}).each_chunk([&](Piece piece) {
    total += piece.text.size();
    return true;
  });
  EXPECT_TRUE(ended);
  EXPECT_EQ(total, 1_GiB);
  rusage after{};
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 30'000);  // KiB
}

}  // namespace
}  // namespace tine
