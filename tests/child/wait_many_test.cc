// SPDX-License-Identifier: MIT

/// Waiting for any, all and very many.

#include <poll.h>
#include <sys/resource.h>

#include <set>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::child_program;

struct WaitManyTest : test::CleanProcessTest {};
struct SlowWaitManyTest : test::CleanProcessTest {};

Child exits_with(int code) { return Command({child_program("exit_with"), code}).start().value(); }

/// Exits with `code` at the end of its stdin.
Child waits(int code) {
  return Command({"sh", "-c", "read x; exit $0", std::to_string(code)})
      .in(Redirect::pipe())
      .start()
      .value();
}

TEST_F(WaitManyTest, AnyGivesTheOneThatEnded) {
  std::vector<Child> children;
  for (int i = 0; i < 3; ++i) children.push_back(waits(i));
  children[1].in().reset();
  EXPECT_EQ(wait_any(children).value(), 1u);
  EXPECT_EQ(children[1].finished()->status.code(), 1);
  children[2].in().reset();
  EXPECT_EQ(wait_any(children).value(), 2u);  // the reaped one is passed over
  children[0].in().reset();
  EXPECT_EQ(wait_any(children).value(), 0u);
  EXPECT_EQ(wait_any(children).error().kind, ErrorKind::no_such_process);
}

TEST_F(WaitManyTest, AnyOfNoneIsAnError) {
  EXPECT_EQ(wait_any({}).error().kind, ErrorKind::no_such_process);
}

TEST_F(WaitManyTest, AnyCanBeCancelled) {
  std::vector<Child> children;
  children.push_back(waits(0));
  CancelSource stop;
  stop.cancel();
  EXPECT_EQ(wait_any(children, stop.token()).error().kind, ErrorKind::cancelled);
}

TEST_F(WaitManyTest, AllAnswersInTheOrderOfTheHandles) {
  std::vector<Child> children;
  for (int i = 0; i < 20; ++i) children.push_back(exits_with(i));
  const auto answers = wait_all(children);
  ASSERT_EQ(answers.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(answers[static_cast<std::size_t>(i)]->status.code(), i);
}

TEST_F(WaitManyTest, AllGivesEachItsOwnAnswer) {
  std::vector<Child> children(2);
  children[1] = exits_with(4);
  const auto answers = wait_all(children);
  EXPECT_EQ(answers[0].error().kind, ErrorKind::no_such_process);
  EXPECT_EQ(answers[1]->status.code(), 4);
}

TEST_F(WaitManyTest, SetGivesChildrenInTheOrderOfTheirEnds) {
  ChildSet set;
  std::vector<Fd> inputs;
  for (int i = 0; i < 5; ++i) {
    auto child = waits(i);
    inputs.push_back(std::move(child.in()));
    ASSERT_TRUE(set.add(std::move(child)));
  }
  for (const std::size_t i : {3u, 0u, 4u, 1u, 2u}) {
    inputs[i].reset();
    auto child = set.next().value();
    ASSERT_TRUE(child);
    EXPECT_EQ(child->finished()->status.code(), static_cast<int>(i));
  }
  EXPECT_EQ(set.size(), 0u);
  EXPECT_EQ(set.next().value().has_value(), false);
}

TEST_F(WaitManyTest, SetTellsATimeOutFromAnEmptySet) {
  ChildSet set;
  EXPECT_FALSE(set.next_for(1ms).value());
  auto running = waits(0);
  const Fd input = std::move(running.in());
  ASSERT_TRUE(set.add(std::move(running)));
  auto none = set.next_for(1ms).value();
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
  EXPECT_EQ(set.size(), 1u);
  CancelSource stop;
  stop.cancel();
  EXPECT_EQ(set.next(stop.token()).error().kind, ErrorKind::cancelled);
  EXPECT_EQ(set.size(), 1u);
}

TEST_F(WaitManyTest, DescriptorOfASetIsReadableWhenAChildHasEnded) {
  ChildSet set;
  EXPECT_EQ(set.fd(), -1);
  auto running =
      test::start_ready(Command({test::child_program("sleep_until_eof")}).in(Redirect::pipe()));
  const Fd input = std::move(running.in());
  ASSERT_TRUE(set.add(std::move(running)));
  pollfd watched{set.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&watched, 1, 0), 0);
  ASSERT_TRUE(set.add(exits_with(0)));
  EXPECT_EQ(::poll(&watched, 1, 10'000), 1);
  EXPECT_EQ(set.next().value()->finished()->status.code(), 0);
}

TEST_F(WaitManyTest, SetRefusesHandlesWithoutAProcess) {
  ChildSet set;
  EXPECT_FALSE(set.add(Child{}));
  auto child = exits_with(0);
  ASSERT_TRUE(child.wait());
  EXPECT_FALSE(set.add(std::move(child)));
}

TEST_F(WaitManyTest, SetCanGrowWhileItIsWaitedFor) {
  ChildSet set;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(set.add(exits_with(0)));
  int seen = 0;
  while (auto child = set.next().value()) {
    if (++seen <= 40) {
      ASSERT_TRUE(set.add(exits_with(seen % 256)));
    }
  }
  EXPECT_EQ(seen, 44);
}

/// Starts `count` children that wait for one common pipe to end, and waits for all of them.
void run_so_many(int count) {
  auto gate = Pipe::create().value();
  ChildSet set;
  std::set<pid_t> pids;
  for (int i = 0; i < count; ++i) {
    auto child = Command({child_program("sleep_until_eof")})
                     .in(Redirect::fd(gate.reader.fd().get()))
                     .out(Redirect::null())
                     .start();
    ASSERT_TRUE(child) << i << " children run: " << child.error().to_string();
    pids.insert(child->pid());
    ASSERT_TRUE(set.add(std::move(*child)));
  }
  EXPECT_EQ(set.size(), static_cast<std::size_t>(count));
  gate.writer.close();
  while (auto child = set.next().value()) {
    EXPECT_TRUE(child->finished()->status.success());
    EXPECT_EQ(pids.erase(child->pid()), 1u);
  }
  EXPECT_TRUE(pids.empty());
}

/// The soft limit raised to the hard one; back at the end.
class RaisedDescriptorLimit {
 public:
  RaisedDescriptorLimit() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit raised{before_.rlim_max, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &raised);
  }
  ~RaisedDescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  [[nodiscard]] rlim_t hard() const { return before_.rlim_max; }

 private:
  rlimit before_{};
};

TEST_F(SlowWaitManyTest, TwoThousandAtOnce) {
  const RaisedDescriptorLimit raised;
  if (raised.hard() < 2100) GTEST_SKIP() << "the hard RLIMIT_NOFILE is " << raised.hard();
  run_so_many(2000);
}

// 10,000 children, or as many as the hard limit of descriptors allows: each needs one.
TEST_F(SlowWaitManyTest, TenThousandAtOnce) {
  const RaisedDescriptorLimit raised;
  const int count = static_cast<int>(std::min<rlim_t>(10'000, raised.hard() - 100));
  std::cout << count << " children at once (hard RLIMIT_NOFILE: " << raised.hard() << ")\n";
  run_so_many(count);
}

TEST_F(WaitManyTest, RefusalForWantOfDescriptorsIsClean) {
  test::in_a_fork([] {
    const rlimit few{64, 64};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    std::vector<Child> children;
    for (;;) {
      auto child = Command({"sleep", 1000}).start();
      if (!child) {
        EXPECT_EQ(child.error().kind, ErrorKind::too_many_files) << child.error().to_string();
        break;
      }
      children.push_back(std::move(*child));
    }
    EXPECT_GT(children.size(), 20u);
    for (auto& child : children) EXPECT_TRUE(child.send(Signal::kill));
    for (const auto& answer : wait_all(children)) EXPECT_TRUE(answer);
    EXPECT_TRUE(Command{"true"}.run());
  });
}

}  // namespace
}  // namespace tine
