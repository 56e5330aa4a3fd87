// SPDX-License-Identifier: MIT
#include "os/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <memory>

#include "os/io.h"
#include "support/clean_process_test.h"

namespace tine::os {
namespace {

using namespace std::chrono_literals;
using Clock = EventLoop::Clock;

class EventLoopTest : public test::CleanProcessTest {
 protected:
  static void say(const PipeEnds& pipe) { ASSERT_EQ(::write(pipe.write.get(), "x", 1), 1); }
  void TearDown() override {
    owned_.reset();  // its descriptor too has to be gone by then
    test::CleanProcessTest::TearDown();
  }
  std::unique_ptr<EventLoop> owned_ = std::make_unique<EventLoop>();
  EventLoop& loop_ = *owned_;
};

TEST_F(EventLoopTest, ReadableDescriptorCallsItsHandler) {
  auto pipe = make_pipe().value();
  int calls = 0;
  ASSERT_TRUE(loop_.watch(pipe.read.get(), EPOLLIN, [&] { ++calls; }));
  say(pipe);
  loop_.run_once();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, HandlerMayRemoveItselfAndOthers) {
  auto a = make_pipe().value();
  auto b = make_pipe().value();
  int calls = 0;
  const auto only_once = [&] {
    ++calls;
    loop_.unwatch(a.read.get());
    loop_.unwatch(b.read.get());
  };
  ASSERT_TRUE(loop_.watch(a.read.get(), EPOLLIN, only_once));
  ASSERT_TRUE(loop_.watch(b.read.get(), EPOLLIN, only_once));
  say(a);
  say(b);
  loop_.run_once();
  loop_.run_once(Clock::now());
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, StaleEventDoesNotReachTheNumbersNextOwner) {
  auto a = make_pipe().value();
  auto b = make_pipe().value();
  auto next = make_pipe().value();
  int wrong = 0;
  // Whichever comes first replaces the other, whose event is in the same batch already.
  const auto replace = [&](int victim) {
    loop_.unwatch(a.read.get());
    loop_.unwatch(b.read.get());
    ASSERT_GE(::dup2(next.read.get(), victim), 0);
    ASSERT_TRUE(loop_.watch(victim, EPOLLIN, [&] { ++wrong; }));
  };
  ASSERT_TRUE(loop_.watch(a.read.get(), EPOLLIN, [&] { replace(b.read.get()); }));
  ASSERT_TRUE(loop_.watch(b.read.get(), EPOLLIN, [&] { replace(a.read.get()); }));
  say(a);
  say(b);
  loop_.run_once();
  EXPECT_EQ(wrong, 0);
}

TEST_F(EventLoopTest, HandlerMayAddManyOthers) {
  auto first = make_pipe().value();
  std::vector<PipeEnds> pipes;
  ASSERT_TRUE(loop_.watch(first.read.get(), EPOLLIN, [&, text = std::string(100, 'x')] {
    for (int i = 0; i < 200; ++i) {
      pipes.push_back(make_pipe().value());
      ASSERT_TRUE(loop_.watch(pipes.back().read.get(), EPOLLIN, [] {}));
    }
    EXPECT_EQ(text.size(), 100u);  // its own closure is still there after the table has grown
  }));
  say(first);
  loop_.run_once();
  EXPECT_EQ(pipes.size(), 200u);
}

TEST_F(EventLoopTest, RegularFileIsRefused) {
  const test::TemporaryDirectory dir;
  const Fd file{::open(dir.write("f", "text").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto refused = loop_.watch(file.get(), EPOLLIN, [] {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::not_permitted);
  loop_.unwatch(file.get());
}

TEST_F(EventLoopTest, TimersComeInTheirOrderAndOnlyWhenDue) {
  std::string order;
  const auto now = Clock::now();
  loop_.at(now + 2ms, [&] { order += 'b'; });
  loop_.at(now + 1ms, [&] { order += 'a'; });
  const auto never = loop_.at(now + 3ms, [&] { order += 'x'; });
  loop_.at(now + 24h, [&] { order += 'y'; });
  loop_.at(now + 4ms, [&] { order += 'c'; });
  loop_.cancel(never);
  loop_.cancel(never);
  while (order.size() < 3) loop_.run_once();
  EXPECT_EQ(order, "abc");
}

TEST_F(EventLoopTest, TimerMayCancelTheNextAndSetAnother) {
  std::string order;
  EventLoop::TimerId second = 0;
  const auto past = Clock::now() - 1ms;
  loop_.at(past - 1ms, [&] {
    order += '1';
    loop_.cancel(second);
    loop_.at(past, [&] { order += '3'; });
  });
  second = loop_.at(past, [&] { order += '2'; });
  loop_.run_once();
  EXPECT_EQ(order, "13");
}

TEST_F(EventLoopTest, DelayedTimersWaitLonger) {
  int calls = 0;
  const auto timer = loop_.at(Clock::now() - 1h, [&] { ++calls; });
  loop_.delay_timers(2h);
  loop_.run_once(Clock::now());
  EXPECT_EQ(calls, 0);
  loop_.delay_timers(-2h);
  loop_.run_once(Clock::now());
  EXPECT_EQ(calls, 1);
  loop_.cancel(timer);
}

TEST_F(EventLoopTest, EndOfAPipeIsAnEvent) {
  auto pipe = make_pipe().value();
  bool ended = false;
  ASSERT_TRUE(loop_.watch(pipe.read.get(), EPOLLIN, [&] { ended = true; }));
  pipe.write.reset();
  loop_.run_once();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace tine::os
