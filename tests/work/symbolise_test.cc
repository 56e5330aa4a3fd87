// SPDX-License-Identifier: MIT
#include "work/symbolise.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/pipe.h"
#include "work/reporting_child.h"

namespace tine::work {
namespace {

using namespace std::chrono_literals;
using test::launch_reporting;
using test::SharedReport;

struct SymboliseTest : test::BacktraceTest {};

/// Where this is called: inside the call, as in a report.
[[gnu::noinline]] std::uintptr_t here() {
  return reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1;
}

[[gnu::always_inline]] inline std::uintptr_t inlined_place() { return here(); }

[[gnu::noinline]] std::uintptr_t place_with_inlined_code(int) { return inlined_place(); }

TEST_F(SymboliseTest, GivesFunctionFileAndLine) {
  const int line = __LINE__ + 1;
  const std::vector<std::uintptr_t> addresses{here()};
  const auto frames = symbolise(addresses);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].line, line);
  EXPECT_TRUE(frames[0].file.ends_with("tests/work/symbolise_test.cc")) << frames[0].file;
  EXPECT_NE(frames[0].function.find("GivesFunctionFileAndLine_Test::TestBody()"),
            std::string::npos);
}

TEST_F(SymboliseTest, FilesBelowTheWorkingDirectoryAreRelativeToIt) {
  test::in_a_fork([] {
    std::string directory = __FILE__;
    directory.resize(directory.rfind("/tests/"));
    ASSERT_EQ(::chdir(directory.c_str()), 0);
    const std::vector<std::uintptr_t> addresses{here()};
    EXPECT_EQ(symbolise(addresses)[0].file, "tests/work/symbolise_test.cc");
  });
}

TEST_F(SymboliseTest, AnInlinedFunctionIsAFrameOfItsOwn) {
  const std::vector<std::uintptr_t> addresses{place_with_inlined_code(0)};
  const auto frames = symbolise(addresses);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_NE(frames[0].function.find("inlined_place"), std::string::npos);
  EXPECT_NE(frames[1].function.find("place_with_inlined_code(int)"), std::string::npos);
  EXPECT_EQ(frames[0].line + 2, frames[1].line);
}

TEST_F(SymboliseTest, AnInlinedLambdaHasTheNameOfTheFunctionAround) {
  const auto lambda = [] [[gnu::always_inline]] { return here(); };
  const std::vector<std::uintptr_t> addresses{lambda()};
  const auto frames = symbolise(addresses);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_NE(frames[0].function.find("FunctionAround_Test::TestBody::<lambda>"), std::string::npos)
      << frames[0].function;
}

TEST_F(SymboliseTest, WhatIsInNoModuleStaysANumber) {
  const std::vector<std::uintptr_t> addresses{0, 0x1234, ~std::uintptr_t{0}};
  EXPECT_EQ(backtrace_text(addresses), "#0 0x0\n#1 0x1234\n#2 0xffffffffffffffff");
  EXPECT_EQ(backtrace_text({}), "");
  EXPECT_EQ(place_text(symbolise(addresses)), "0x0");
  EXPECT_EQ(place_text({}), "");
}

TEST_F(SymboliseTest, AsksNoDebuginfodServer) {
  test::in_a_fork([] {
    ::setenv("DEBUGINFOD_URLS", "http://192.0.2.1/", 1);  // where nobody ever answers
    const std::vector<std::uintptr_t> addresses{
        reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, "qsort"))};
    EXPECT_NE(backtrace_text(addresses).find("qsort"), std::string::npos);
  });
}

// ---- Of a child ----

/// Where a child that runs `body` is when it waits in read(2).
template <class Body>
std::vector<Frame> frames_of_waiting(Body body) {
  auto input = Pipe::create().value();
  const SharedReport report;
  auto child = launch_reporting(report, [&] { return body(input.reader.fd().get()); });
  std::vector<Frame> frames;
  EXPECT_TRUE(test::eventually([&] {
    const auto place = ask_where(child.fd(), *report, 10s);
    if (place) frames = symbolise(place->addresses());
    return to_text(frames).contains("wait_for_byte");
  })) << to_text(frames);
  EXPECT_TRUE(input.writer.write_all("x"));
  EXPECT_TRUE(child.wait());
  return frames;
}

[[gnu::noinline]] int wait_for_byte(int fd) {
  char byte = 0;
  return static_cast<int>(::read(fd, &byte, 1));
}

TEST_F(SymboliseTest, EndsWithTheFunctionThatTheChildWasMadeFor) {
  const auto frames = frames_of_waiting([](int fd) { return wait_for_byte(fd); });
  ASSERT_GT(frames.size(), 2u);
  EXPECT_NE(frames.back().function.find("launch_reporting<"), std::string::npos) << to_text(frames);
  EXPECT_EQ(to_text(frames).find("run_body"), std::string::npos);
  EXPECT_EQ(place_text(frames).find("tine::work::(anonymous namespace)::wait_for_byte(int) at "),
            0u)
      << place_text(frames);
}

TEST_F(SymboliseTest, AChildOfAChildEndsWithItsOwnFunction) {
  auto outer = launch([] {
    const auto frames = frames_of_waiting([](int fd) { return wait_for_byte(fd); });
    return frames.back().function.contains("launch_reporting<") ? 0 : 1;
  });
  EXPECT_EQ(outer->wait()->status.code(), 0);
}

template <class First, class Second>
[[gnu::noinline]] std::uintptr_t templated_place(First, Second) {
  return here();
}

TEST_F(SymboliseTest, LongArgumentsOfTemplatesAreLeftOut) {
  using Long = std::map<std::string, std::map<std::string, std::vector<std::string>>>;
  const std::vector<std::uintptr_t> addresses{templated_place(Long{}, 1)};
  EXPECT_EQ(symbolise(addresses)[0].function,
            "unsigned long tine::work::(anonymous namespace)::templated_place<...>("
            "std::map<...>, int)");
}

TEST_F(SymboliseTest, AtMost64LinesAreWritten) {
  const std::vector<std::uintptr_t> addresses(100, here());
  const std::string text = backtrace_text(addresses);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 63);
}

}  // namespace
}  // namespace tine::work
