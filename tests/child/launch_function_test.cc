// SPDX-License-Identifier: MIT
#include "tine/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::in_a_fork;
using test::is_running;

struct LaunchFunctionTest : test::CleanProcessTest {};
struct LaunchFunctionThreadsTest : test::CleanProcessTest {};

/// What `body`, launched, writes to the descriptor `number`, and its status.
template <class Body>
std::pair<std::string, ExitStatus> written(int number, Body body) {
  auto pipe = Pipe::create().value();
  const Fd saved{::fcntl(number, F_DUPFD_CLOEXEC, 10)};
  ::dup2(pipe.writer.fd().get(), number);
  auto child = launch(body);
  ::dup2(saved.get(), number);
  pipe.writer.close();
  const std::string text = pipe.reader.read_all().value();
  return {text, child.value().wait()->status};
}

TEST_F(LaunchFunctionTest, IntIsTheExitCodeAndVoidIsZero) {
  EXPECT_EQ(launch([] { return 3; })->wait()->status.code(), 3);
  EXPECT_EQ(launch([] {})->wait()->status.code(), 0);
  EXPECT_EQ(launch([](int a, int b) { return a + b; }, 40, 2)->wait()->status.code(), 42);
  EXPECT_EQ(launch({.name = "named"}, [](int a) { return a; }, 7)->wait()->status.code(), 7);
}

TEST_F(LaunchFunctionTest, MemoryIsACopy) {
  int value = 1;
  EXPECT_EQ(launch([&] { return ++value; })->wait()->status.code(), 2);
  EXPECT_EQ(value, 1);
}

TEST_F(LaunchFunctionTest, MoveOnlyArgumentsTravel) {
  auto number = std::make_unique<int>(9);
  auto child = launch([](std::unique_ptr<int> n) { return *n; }, std::move(number));
  EXPECT_EQ(child->wait()->status.code(), 9);
  EXPECT_TRUE(number);  // NOLINT(bugprone-use-after-move): moved in the child's copy alone
}

TEST_F(LaunchFunctionTest, KeepsNoEndOfAConversationOfItsParent) {
  auto cat = Command{"cat"}.converse().value();
  auto sleeper = launch([] { ::pause(); }).value();
  ASSERT_TRUE(cat.send("said\n"));
  const auto heard = cat.finish();  // cat ends only when nobody holds its input any more
  EXPECT_EQ(heard->out, "said\n");
  EXPECT_TRUE(is_running(sleeper.pid()));
  EXPECT_TRUE(sleeper.terminate());
}

TEST_F(LaunchFunctionTest, KeepsNothingOfTheLibrarysAndAllOfTheUsers) {
  const Fd users{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  ChildSet set;
  EXPECT_TRUE(set.add(Command{"true"}.start().value()));
  Batch batch{{.jobs = 1}};
  auto pipe = Pipe::create().value();
  EXPECT_TRUE(batch.watch(pipe.reader.fd().get(), [] {}));  // its event loop exists now
  auto child = launch([&] {
                 const auto library_holds = [](const char* kind) {
                   for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
                     std::error_code gone;
                     const auto target = std::filesystem::read_symlink(fd, gone).string();
                     if (target.find(kind) != std::string::npos) return true;
                   }
                   return false;
                 };
                 if (::fcntl(users.get(), F_GETFD) < 0) return 1;
                 if (library_holds("eventpoll")) return 2;
                 return library_holds("pidfd") ? 3 : 0;
               }).value();
  EXPECT_EQ(child.wait()->status.code(), 0);
  while (set.next().value()) {
  }
}

TEST_F(LaunchFunctionTest, ExceptionPrintsTypeAndTextAndExits70) {
  const auto [text, status] = written(2, [] { throw std::runtime_error("no luck"); });
  EXPECT_EQ(status.code(), 70);
  EXPECT_EQ(text, "tine: uncaught exception in a child: std::runtime_error: no luck\n");
}

TEST_F(LaunchFunctionTest, ForeignExceptionPrintsItsType) {
  const auto [text, status] = written(2, [] { throw 42; });
  EXPECT_EQ(status.code(), 70);
  EXPECT_EQ(text, "tine: uncaught exception in a child: int\n");
}

TEST_F(LaunchFunctionTest, BufferedOutputIsWrittenExactlyOnce) {
  auto pipe = Pipe::create().value();
  in_a_fork([&] {
    ::dup2(pipe.writer.fd().get(), 1);
    std::printf("before ");
    std::cout << "cout ";
    EXPECT_TRUE(launch([] {
                  std::printf("inside ");
                  std::cout << "inside-cout ";
                })->wait());
    std::printf("after");
  });
  pipe.writer.close();
  const std::string text = pipe.reader.read_all().value();
  for (const std::string part : {"before", "cout", "inside", "inside-cout", "after"}) {
    const auto first = text.find(part);
    EXPECT_NE(first, std::string::npos) << part;
  }
  EXPECT_EQ(text.size(), std::string("before cout inside inside-cout after").size()) << text;
}

struct Announces {
  int fd;
  ~Announces() { [[maybe_unused]] const auto n = ::write(fd, "x", 1); }
};

TEST_F(LaunchFunctionTest, DestructorsOfTheParentsObjectsDoNotRunInTheChild) {
  auto pipe = Pipe::create().value();
  {
    const Announces object{pipe.writer.fd().get()};
    EXPECT_TRUE(launch([] {})->wait());
  }
  pipe.writer.close();
  EXPECT_EQ(pipe.reader.read_all().value(), "x");
}

TEST_F(LaunchFunctionTest, StdinIsNullUnlessInherited) {
  in_a_fork([] {
    auto pipe = Pipe::create().value();
    ASSERT_TRUE(pipe.writer.write_all("y"));
    ::dup2(pipe.reader.fd().get(), 0);
    const auto read_one = [] {
      char byte = 0;
      return ::read(0, &byte, 1) == 1 ? byte : 'n';
    };
    EXPECT_EQ(launch([&] { return int{read_one()}; })->wait()->status.code(), 'n');
    EXPECT_EQ(
        launch({.inherit_stdin = true}, [&] { return int{read_one()}; })->wait()->status.code(),
        'y');
  });
}

TEST_F(LaunchFunctionTest, SignalsAreResetAndTheMaskIsEmpty) {
  in_a_fork([] {
    ::signal(SIGUSR1, [](int) {});
    ::signal(SIGUSR2, SIG_IGN);
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    const auto looks_right = [] {
      const auto handler_of = [](int number) {
        struct sigaction action{};
        sigaction(number, nullptr, &action);
        return action.sa_handler;
      };
      sigset_t mask;
      sigprocmask(SIG_SETMASK, nullptr, &mask);
      if (handler_of(SIGUSR1) != SIG_DFL || handler_of(SIGPIPE) != SIG_DFL) return 1;
      if (handler_of(SIGUSR2) != SIG_IGN) return 2;
      return sigisemptyset(&mask) == 1 ? 0 : 3;
    };
    EXPECT_EQ(launch(looks_right)->wait()->status.code(), 0);
  });
}

TEST_F(LaunchFunctionTest, LibrarysOwnDescriptorsAreClosedAndTheUsersStayOpen) {
  auto sibling = Command({"sleep", 1000}).out(Redirect::pipe()).start().value();
  auto mine = Pipe::create().value();
  const int user = mine.reader.fd().get();
  const auto what_is_open = [&] {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(entry.path(), gone).native();
      if (target.find("pidfd") != std::string::npos) return 1;
      if (target.find("guardian") != std::string::npos) return 2;
    }
    if (::fcntl(sibling.out().get(), F_GETFD) >= 0) return 3;
    return ::fcntl(user, F_GETFD) >= 0 ? 0 : 4;
  };
  EXPECT_EQ(launch(what_is_open)->wait()->status.code(), 0);
}

TEST_F(LaunchFunctionTest, ChildLeadsAGroupAndCarriesItsName) {
  auto child = launch({.name = "a-worker"}, [] { ::pause(); }).value();
  EXPECT_TRUE(eventually([&] { return process_info(child.pid())->name == "a-worker"; }));
  EXPECT_EQ(process_info(child.pid())->group, child.pid());
}

TEST_F(LaunchFunctionTest, TimeoutEndsTheTree) {
  auto child = launch({.timeout = 50ms, .grace = 1h}, [] {
                 [[maybe_unused]] const auto done = Command({"sleep", 1000}).run();
                 for (;;) ::pause();
               }).value();
  EXPECT_EQ(child.wait()->status.signal(), SIGTERM);
  EXPECT_TRUE(child.timed_out());
}

TEST_F(LaunchFunctionTest, ItsOwnChildrenDieWithIt) {
  auto told = TypedPipe<pid_t>::create().value();
  auto child = launch([&] {
                 auto inner = Command({"sleep", 1000}).start().value();
                 if (!told.send(inner.pid())) return;
                 for (;;) ::pause();
               }).value();
  told.writer.close();
  const pid_t inner = told.receive().value().value();
  EXPECT_TRUE(child.send(Signal::kill));
  EXPECT_TRUE(eventually([&] { return !is_running(inner); }));
  EXPECT_EQ(child.wait()->status.signal(), SIGKILL);
}

TEST_F(LaunchFunctionTest, LaunchesNest) {
  auto child = launch([] {
    auto inner = launch([] { return launch([] { return 5; })->wait()->status.code().value() + 1; });
    return inner->wait()->status.code().value() + 1;
  });
  EXPECT_EQ(child->wait()->status.code(), 7);
}

TEST_F(LaunchFunctionTest, CommandsWorkInTheChild) {
  EXPECT_EQ(launch([] { return Command({"echo", "x"}).read().value() == "x" ? 0 : 1; })
                ->wait()
                ->status.code(),
            0);
}

TEST_F(LaunchFunctionThreadsTest, SeveralThreadsAreRefusedUnlessAllowed) {
  auto gate = Pipe::create().value();
  std::jthread other([&] {
    char byte;
    [[maybe_unused]] const auto n = ::read(gate.reader.fd().get(), &byte, 1);
  });
  const auto refused = launch([] {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::threads_running);
  EXPECT_EQ(refused.error().to_string().find(
                "cannot create a process for 'a function': this process has several threads: 2 "
                "threads are running"),
            0u)
      << refused.error().to_string();
  auto allowed = launch({.threads = ThreadPolicy::allow}, [] { return 4; });
  ASSERT_TRUE(allowed);
  EXPECT_EQ(allowed->wait()->status.code(), 4);
  gate.writer.close();
  other.join();
  EXPECT_TRUE(launch([] {})->wait());  // joined a moment ago: may still be counted
}

TEST_F(LaunchFunctionThreadsTest, JustJoinedThreadsDoNotCount) {
  for (int i = 0; i < 50; ++i) {
    std::thread([] {}).join();
    auto child = launch([] {});
    ASSERT_TRUE(child) << child.error().to_string();
    EXPECT_TRUE(child->wait());
  }
}

// ---- Detached ----

TEST_F(LaunchFunctionTest, DetachedFunctionThatEndsAtOnceHasBeenLaunched) {
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(launch({.detach = true}, [] {}));
}

TEST_F(LaunchFunctionTest, DetachedFunctionOutlivesItsMakerAndIsItsOwnSession) {
  auto told = TypedPipe<pid_t>::create().value();
  in_a_fork([&] {
    auto child = launch({.detach = true}, [&] {
                   if (!told.send(::getpid()) || !told.send(::getsid(0))) return;
                   for (;;) ::pause();
                 }).value();
    EXPECT_TRUE(is_running(child.pid()));
  });
  told.writer.close();
  const pid_t pid = told.receive().value().value();
  EXPECT_EQ(told.receive().value().value(), pid);
  EXPECT_TRUE(is_running(pid));
  EXPECT_NE(process_info(pid)->parent, ::getpid());
  ::kill(pid, SIGKILL);
}

TEST_F(LaunchFunctionTest, ExitInsideTheFunctionRunsNoHandlersOfTheParent) {
  test::in_a_fork([] {
    std::atexit([] { ::_exit(99); });
    auto child = launch([] { std::exit(7); });
    ASSERT_TRUE(child);
    EXPECT_EQ(child->wait()->status.code(), 7);
  });
}

}  // namespace
}  // namespace tine
