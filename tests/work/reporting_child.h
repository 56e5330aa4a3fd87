// SPDX-License-Identifier: MIT
#pragma once

/// A launched child that reports its crash, and the memory in which it does.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <new>
#include <utility>

#include "support/clean_process_test.h"
#include "tine/launch.h"
#include "work/crash_report.h"
#include "work/symbolise.h"

namespace tine::test {

/// Of tests that look for functions and lines: skipped where the library cannot know them.
struct BacktraceTest : CleanProcessTest {
  void SetUp() override {
    CleanProcessTest::SetUp();
    const auto own = reinterpret_cast<std::uintptr_t>(&in_a_fork);
    if (work::symbolise({&own, 1})[0].line == 0) GTEST_SKIP() << "built without libdw";
  }
};

class SharedReport {
 public:
  SharedReport()
      : report_(new(::mmap(nullptr, sizeof(work::CrashReport), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0)) work::CrashReport{}) {}
  ~SharedReport() { ::munmap(report_, sizeof(work::CrashReport)); }
  SharedReport(const SharedReport&) = delete;
  SharedReport& operator=(const SharedReport&) = delete;
  work::CrashReport& operator*() const noexcept { return *report_; }
  work::CrashReport* operator->() const noexcept { return report_; }

 private:
  work::CrashReport* report_;
};

template <class Body>
Child launch_reporting(const SharedReport& report, Body body) {
  work::prepare_crash_reports();
  return launch([&] {
           work::install_crash_handlers(*report, work::CoreDump::no);
           return body();
         })
      .value();
}

/// How a child that runs `body` ends, and what it says about that.
struct Ending {
  ExitStatus status;
  std::optional<work::RawBacktrace> crash;
};

template <class Body>
Ending ending_of(Body body) {
  const SharedReport report;
  auto child = launch_reporting(report, std::move(body));
  const ExitStatus status = child.wait().value().status;
  return {status, work::read_crash(*report)};
}

}  // namespace tine::test
