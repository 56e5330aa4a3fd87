// SPDX-License-Identifier: MIT
#include "work/crash_report.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "support/clean_process_test.h"
#include "tine/pipe.h"
#include "tine/process.h"
#include "work/reporting_child.h"
#include "work/symbolise.h"

namespace tine::work {
namespace {

using namespace std::chrono_literals;
using test::ending_of;
using test::eventually;
using test::launch_reporting;
using test::SharedReport;

struct CrashReportTest : test::BacktraceTest {};
/// Of signals that a sanitizer turns into reports of its own.
struct CrashReportNoAsanTest : test::BacktraceTest {};

/// Long enough for an answer on a machine that is busy with other things.
constexpr auto kAnswerLimit = 10s;
/// Long enough when there will be none.
constexpr auto kSilenceLimit = 1ms;

std::string text_of(const std::optional<RawBacktrace>& backtrace) {
  return backtrace ? backtrace_text(backtrace->addresses()) : "no backtrace";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// ---- Ways to die ----

[[gnu::noinline]] void write_to(volatile int* place) { *place = 1; }

void touch_beyond_the_end_of_a_file() {
  const Fd file{::memfd_create("empty", MFD_CLOEXEC)};
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  write_to(static_cast<int*>(page));
}

int divide(int a, int b) { return a / b; }

void die_by(int number) {
  switch (number) {
    case SIGSEGV: return write_to(reinterpret_cast<int*>(16));
    case SIGBUS: return touch_beyond_the_end_of_a_file();
    case SIGABRT: std::abort();
#if defined(__x86_64__)
    case SIGILL: asm volatile("ud2"); break;
    case SIGTRAP: asm volatile("int3"); break;
    case SIGFPE: std::exit(divide(1, 0));
#endif
    default: ::raise(number);
  }
}

class CrashReportSignalNoAsanTest : public test::BacktraceTest,
                                    public ::testing::WithParamInterface<int> {};

TEST_P(CrashReportSignalNoAsanTest, KillsTheChildAndIsReported) {
  const auto [status, crash] = ending_of([&] { die_by(GetParam()); });
  EXPECT_EQ(status.signal(), GetParam());
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->signal, GetParam());
  EXPECT_NE(text_of(crash).find("die_by(int) at "), std::string::npos) << text_of(crash);
}

INSTANTIATE_TEST_SUITE_P(Signals, CrashReportSignalNoAsanTest,
                         ::testing::Values(SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP,
                                           SIGSYS),
                         [](const auto& chosen) { return signal_name(chosen.param); });

TEST_F(CrashReportNoAsanTest, SaysWhatWasTouchedAndByWhom) {
  const auto [status, crash] = ending_of([] {
    write_to(reinterpret_cast<int*>(0x1234));
    return ::getpid();
  });
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->fault_address, 0x1234u);
  EXPECT_EQ(crash->code, SEGV_MAPERR);
  EXPECT_GT(crash->thread, 0);
}

TEST_F(CrashReportNoAsanTest, StartsWithTheFunctionThatFaulted) {
  const auto [status, crash] = ending_of([] { write_to(nullptr); });
  ASSERT_TRUE(crash);
  EXPECT_EQ(first_line(text_of(crash))
                .find("#0 tine::work::(anonymous namespace)::write_to(int volatile*) at "),
            0u)
      << text_of(crash);
}

[[gnu::noinline]] int recurse_for_ever(volatile int* depth) {
  volatile char ballast[256];
  ballast[0] = static_cast<char>(*depth);
  *depth = *depth + 1;
  if (*depth < 0) return 0;
  return recurse_for_ever(depth) + ballast[0];
}

TEST_F(CrashReportNoAsanTest, SurvivesAStackThatHasOverflown) {
  const auto [status, crash] = ending_of([] {
    int depth = 0;
    return recurse_for_ever(&depth);
  });
  EXPECT_EQ(status.signal(), SIGSEGV);
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->count, kMostFrames);
  EXPECT_NE(text_of(crash).find("#63 "), std::string::npos);
  EXPECT_NE(first_line(text_of(crash)).find("recurse_for_ever"), std::string::npos);
}

[[gnu::noinline]] void call(void (*function)()) { function(); }

TEST_F(CrashReportNoAsanTest, NamesTheCallerOfANullPointer) {
  const auto [status, crash] = ending_of([] { call(nullptr); });
  EXPECT_EQ(status.signal(), SIGSEGV);
  const std::string text = text_of(crash);
  EXPECT_EQ(text.find("#0 0x0\n#1 tine::work::(anonymous namespace)::call("), 0u) << text;
}

TEST_F(CrashReportNoAsanTest, NamesTheCallerOfAPointerToNowhere) {
  const auto [status, crash] = ending_of([] { call(reinterpret_cast<void (*)()>(0x5000)); });
  EXPECT_EQ(status.signal(), SIGSEGV);
  const std::string text = text_of(crash);
  EXPECT_EQ(text.find("#0 0x5000\n#1 tine::work::(anonymous namespace)::call("), 0u) << text;
}

TEST_F(CrashReportNoAsanTest, ShowsWhoCalledAbort) {
  const auto [status, crash] = ending_of([] { std::abort(); });
  EXPECT_EQ(status.signal(), SIGABRT);
  const std::string text = text_of(crash);
  EXPECT_NE(text.find(" abort"), std::string::npos) << text;
  EXPECT_NE(text.find("TestBody()::{lambda()"), std::string::npos) << text;
}

[[gnu::noinline]] void throw_a_number() { throw 1; }

[[gnu::noinline]] void throw_out_of_noexcept() noexcept { throw_a_number(); }

TEST_F(CrashReportNoAsanTest, ShowsWhoThrewOutOfNoexcept) {
  const auto [status, crash] = ending_of([] {
    const Fd null{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
    ::dup2(null.get(), 2);  // std::terminate is talkative
    throw_out_of_noexcept();
  });
  EXPECT_EQ(status.signal(), SIGABRT);
  EXPECT_NE(text_of(crash).find("throw_out_of_noexcept() at "), std::string::npos)
      << text_of(crash);
}

TEST_F(CrashReportNoAsanTest, ReportsASignalThatAnotherProcessSends) {
  auto ready = Pipe::create().value();
  const SharedReport report;
  auto child = launch_reporting(report, [&] {
    ready.writer.close();
    for (;;) ::pause();
  });
  ready.writer.close();
  EXPECT_EQ(ready.reader.read_all().value(), "");
  EXPECT_EQ(::kill(child.pid(), SIGABRT), 0);
  EXPECT_EQ(child.wait()->status.signal(), SIGABRT);
  const auto crash = read_crash(*report);
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->fault_address, 0u);
}

TEST_F(CrashReportNoAsanTest, ReportsACrashInAThreadOfTheChild) {
  const auto [status, crash] = ending_of([] {
    pthread_t thread{};
    ::pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
          write_to(nullptr);
          return nullptr;
        },
        nullptr);
    ::pthread_join(thread, nullptr);
  });
  EXPECT_EQ(status.signal(), SIGSEGV);
  EXPECT_NE(text_of(crash).find("write_to"), std::string::npos) << text_of(crash);
}

TEST_F(CrashReportNoAsanTest, OfManyThreadsThatCrashAtOnceOneIsReported) {
  const auto [status, crash] = ending_of([] {
    static pthread_barrier_t all_here;
    ::pthread_barrier_init(&all_here, nullptr, 8);
    const auto crash_together = [](void*) -> void* {
      ::pthread_barrier_wait(&all_here);
      write_to(nullptr);
      return nullptr;
    };
    pthread_t thread{};
    for (int i = 0; i < 8; ++i) ::pthread_create(&thread, nullptr, crash_together, nullptr);
    for (;;) ::pause();
  });
  EXPECT_EQ(status.signal(), SIGSEGV);
  EXPECT_NE(first_line(text_of(crash)).find("write_to"), std::string::npos) << text_of(crash);
}

TEST_F(CrashReportNoAsanTest, AHandlerOfTheUsersWins) {
  const auto [status, crash] = ending_of([] {
    ::signal(SIGSEGV, [](int) { ::_exit(42); });
    write_to(nullptr);
  });
  EXPECT_EQ(status.code(), 42);
  EXPECT_FALSE(crash);
}

TEST_F(CrashReportNoAsanTest, AProcessThatTheChildForkedIsNotReported) {
  const auto [status, crash] = ending_of([] {
    const pid_t inner = ::fork();
    if (inner == 0) write_to(nullptr);
    int raw = 0;
    ::waitpid(inner, &raw, 0);
    return WTERMSIG(raw);
  });
  EXPECT_EQ(status.code(), SIGSEGV);
  EXPECT_FALSE(crash);
}

TEST_F(CrashReportNoAsanTest, AChildOfAChildHasAReportOfItsOwn) {
  const auto [status, crash] = ending_of([] {
    const auto inner = ending_of([] { die_by(SIGILL); });
    return inner.crash && inner.crash->signal == inner.status.signal() ? *inner.status.signal() : 0;
  });
  EXPECT_EQ(status.code(), SIGILL);
  EXPECT_FALSE(crash);
}

// ---- Stacks that cannot be walked ----

[[gnu::noinline]] void overwrite_the_stack() {
  volatile char* at = static_cast<char*>(__builtin_frame_address(0));
  for (int i = 0; i < 512; ++i) at[i] = 0x41;
}

TEST_F(CrashReportNoAsanTest, AnOverwrittenStackChangesNotTheSignal) {
  const auto [status, crash] = ending_of([] { overwrite_the_stack(); });
  EXPECT_EQ(status.signal(), SIGSEGV);
  ASSERT_TRUE(crash);
  EXPECT_NE(first_line(text_of(crash)).find("overwrite_the_stack"), std::string::npos)
      << text_of(crash);
}

#if defined(__x86_64__)

TEST_F(CrashReportNoAsanTest, AStackPointerToNowhereChangesNotTheSignal) {
  const auto [status, crash] =
      ending_of([] { asm volatile("mov $16, %rsp\n mov $32, %rbp\n ud2"); });
  EXPECT_EQ(status.signal(), SIGILL);
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->signal, SIGILL);
  EXPECT_GE(crash->count, 1u);
}

[[gnu::noinline]] void wait_without_a_frame() { asm volatile("mov $16, %rbp\n1: pause\n jmp 1b"); }

TEST_F(CrashReportNoAsanTest, AskingWhereAStackCannotBeWalkedDoesNoHarm) {
  auto ready = Pipe::create().value();
  const SharedReport report;
  auto child = launch_reporting(report, [&] {
    ready.writer.close();
    wait_without_a_frame();
  });
  ready.writer.close();
  EXPECT_EQ(ready.reader.read_all().value(), "");
  std::optional<RawBacktrace> place;
  EXPECT_TRUE(eventually([&] {
    place = ask_where(child.fd(), *report, kAnswerLimit);
    return text_of(place).contains("wait_without_a_frame");
  })) << text_of(place);
  EXPECT_EQ(place->count, 1u);
  EXPECT_TRUE(ask_where(child.fd(), *report, kAnswerLimit));  // it lives on
  EXPECT_TRUE(child.send(Signal::kill));
  EXPECT_EQ(child.wait()->status.signal(), SIGKILL);
}

#endif

// ---- Where are you ----

[[gnu::noinline]] void spin_until(const std::atomic<int>& flag) {
  while (flag.load() == 0) {
  }
}

TEST_F(CrashReportTest, ABusyChildSaysWhereItIsAndGoesOn) {
  auto ready = Pipe::create().value();
  const SharedReport report;
  void* const page = ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& flag = *new (page) std::atomic<int>{0};
  auto child = launch_reporting(report, [&] {
    ready.writer.close();
    spin_until(flag);
    return 5;
  });
  ready.writer.close();
  EXPECT_EQ(ready.reader.read_all().value(), "");
  std::optional<RawBacktrace> place;
  EXPECT_TRUE(eventually([&] {
    place = ask_where(child.fd(), *report, kAnswerLimit);
    return text_of(place).contains("spin_until(");
  })) << text_of(place);
  EXPECT_EQ(place->signal, kWhereSignal);
  EXPECT_FALSE(read_crash(*report));
  flag.store(1);
  EXPECT_EQ(child.wait()->status.code(), 5);
  EXPECT_FALSE(ask_where(child.fd(), *report, kAnswerLimit)) << "an answer of the dead";
  ::munmap(page, sizeof(std::atomic<int>));
}

TEST_F(CrashReportTest, AChildThatWaitsInReadSaysSoAndGoesOn) {
  auto input = Pipe::create().value();
  const SharedReport report;
  auto child = launch_reporting(report, [&] {
    char byte = 0;
    return ::read(input.reader.fd().get(), &byte, 1) == 1 ? byte : 0;
  });
  EXPECT_TRUE(eventually([&] { return process_info(child.pid())->state == 'S'; }));
  std::optional<RawBacktrace> place;
  EXPECT_TRUE(eventually([&] {
    place = ask_where(child.fd(), *report, kAnswerLimit);
    return text_of(place).contains("TestBody()::{lambda()");
  })) << text_of(place);
  EXPECT_NE(text_of(place).find("read"), std::string::npos) << text_of(place);
  EXPECT_TRUE(input.writer.write_all("\x07"));
  EXPECT_EQ(child.wait()->status.code(), 7);
}

TEST_F(CrashReportTest, AStoppedChildGivesNoAnswer) {
  const SharedReport report;
  auto child = launch_reporting(report, [&] {
    for (;;) ::pause();
  });
  EXPECT_TRUE(child.send(Signal::stop));
  EXPECT_TRUE(eventually([&] { return process_info(child.pid())->state == 'T'; }));
  EXPECT_FALSE(ask_where(child.fd(), *report, kSilenceLimit));
  EXPECT_EQ(no_answer_text(child.pid()), "no answer within 100 ms; it is stopped");
  EXPECT_TRUE(child.send(Signal::kill));
  EXPECT_TRUE(child.wait());
}

TEST_F(CrashReportTest, AChildThatBlocksSignalsGivesNoAnswerButItsWaitChannel) {
  auto ready = Pipe::create().value();
  auto input = Pipe::create().value();
  const SharedReport report;
  auto child = launch_reporting(report, [&] {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ready.writer.close();
    char byte = 0;
    return ::read(input.reader.fd().get(), &byte, 1) == 1 ? byte : 0;
  });
  ready.writer.close();
  EXPECT_EQ(ready.reader.read_all().value(), "");
  EXPECT_TRUE(eventually([&] { return process_info(child.pid())->state == 'S'; }));
  EXPECT_FALSE(ask_where(child.fd(), *report, kSilenceLimit));
  EXPECT_EQ(no_answer_text(child.pid(), 3s).find("no answer within 3 s; it waits"), 0u);
  if (!test::read_text("/proc/" + std::to_string(child.pid()) + "/wchan").starts_with("0")) {
    EXPECT_NE(no_answer_text(child.pid()).find("pipe_read'"), std::string::npos)
        << no_answer_text(child.pid());
  }
  EXPECT_TRUE(child.send(Signal::kill));
  EXPECT_TRUE(child.wait());
}

TEST_F(CrashReportTest, AChildWithoutHandlersIsNotAsked) {
  const SharedReport report;
  auto input = Pipe::create().value();
  auto child = launch([&] {
                 char byte = 0;
                 return ::read(input.reader.fd().get(), &byte, 1) == 1 ? byte : 0;
               }).value();
  EXPECT_FALSE(ask_where(child.fd(), *report, 24h));
  EXPECT_TRUE(input.writer.write_all("\x07"));
  EXPECT_EQ(child.wait()->status.code(), 7);
}

TEST_F(CrashReportTest, AZombieIsNotWaitedFor) {
  const SharedReport report;
  auto child = launch_reporting(report, [] { return 0; });
  EXPECT_TRUE(eventually([&] { return process_info(child.pid())->state == 'Z'; }));
  EXPECT_FALSE(ask_where(child.fd(), *report, 24h));
  EXPECT_EQ(no_answer_text(child.pid()), "no answer within 100 ms; it has ended");
  EXPECT_TRUE(child.wait());
}

TEST_F(CrashReportNoAsanTest, ACrashEndsTheWaitForAnAnswer) {
  const SharedReport report;
  auto child = launch_reporting(report, [] {
    // Instead of an answer.
    ::signal(kWhereSignal, [](int) { write_to(nullptr); });
    for (;;) ::pause();
  });
  // Before the handler is in its place there would be an answer.
  EXPECT_TRUE(eventually([&] { return process_info(child.pid())->state == 'S'; }));
  EXPECT_TRUE(eventually([&] { return !ask_where(child.fd(), *report, 24h); }));
  EXPECT_EQ(child.wait()->status.signal(), SIGSEGV);
  EXPECT_NE(text_of(read_crash(*report)).find("write_to"), std::string::npos);
}

// ---- What a child may do to its report ----

TEST_F(CrashReportTest, ALyingReportIsKeptWithinItsBounds) {
  const SharedReport report;
  std::memset(&*report, 0xff, sizeof(CrashReport));
  EXPECT_FALSE(read_crash(*report));
  const auto crash_state = [&] {
    for (report->state = 0; !read_crash(*report); ++report->state) {
    }
  };
  crash_state();
  report->count = 1'000'000'000;
  EXPECT_TRUE(read_crash(*report)->addresses().empty());  // in no module of ours, says its map
  report->modules.count = 0;
  const auto crash = read_crash(*report);
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->addresses().size(), kMostFrames);
  EXPECT_NE(text_of(crash).find("#63 0xffffffffffffffff"), std::string::npos) << text_of(crash);
}

TEST_F(CrashReportTest, AScribbledStateGivesNoAnswerAndNoCrash) {
  const SharedReport report;
  auto child = launch_reporting(report, [&] {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    for (;;) report->state = 77;
  });
  EXPECT_TRUE(eventually([&] { return report->state == 77; }));
  EXPECT_FALSE(ask_where(child.fd(), *report, kSilenceLimit));
  EXPECT_FALSE(read_crash(*report));
  EXPECT_TRUE(child.send(Signal::kill));
  EXPECT_TRUE(child.wait());
}

// ---- What it costs ----

TEST_F(CrashReportNoAsanTest, NoCoreIsDumpedUnlessAsked) {
  test::in_a_fork([] {
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_CORE, &limit);
    EXPECT_FALSE(ending_of([] { write_to(nullptr); }).status.core_dumped());
    const SharedReport report;
    auto child = launch([&] {
                   install_crash_handlers(*report, CoreDump::yes);
                   rlimit inside{};
                   ::getrlimit(RLIMIT_CORE, &inside);
                   return inside.rlim_cur == limit.rlim_cur ? 0 : 1;
                 }).value();
    EXPECT_EQ(child.wait()->status.code(), 0);
  });
}

std::size_t count_of_mappings() {
  const std::string maps = test::read_text("/proc/self/maps");
  return static_cast<std::size_t>(std::ranges::count(maps, '\n'));
}

TEST_F(CrashReportNoAsanTest, ManyReportsLeaveNothingBehind) {
  const auto crash_once = [] {
    const auto ending = ending_of([] { write_to(nullptr); });
    EXPECT_NE(text_of(ending.crash).find("write_to"), std::string::npos);
  };
  crash_once();
  const std::size_t before = count_of_mappings();
  for (int i = 0; i < 1000; ++i) crash_once();
  EXPECT_LE(count_of_mappings(), before + 8);  // malloc may have grown
}

}  // namespace
}  // namespace tine::work
