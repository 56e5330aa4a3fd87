// SPDX-License-Identifier: MIT

/// WipeOnFork: what children, core dumps and later owners of the memory see of a secret.

#include "tine/wipe_on_fork.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>

#include "support/clean_process_test.h"
#include "support/refuse_call.h"
#include "tine/call.h"

namespace tine {
namespace {

struct WipeOnForkTest : test::CleanProcessTest {};
struct WipeOnForkNoAsanTest : test::CleanProcessTest {};

using Key = std::array<unsigned char, 32>;
using Secret = WipeOnFork<Key>;

Secret made() {
  auto key = Secret::create().value();
  key->fill(0x5a);
  return key;
}

bool all_are(const Key& key, unsigned char value) {
  return std::ranges::all_of(key, [&](auto byte) { return byte == value; });
}

/// What /proc/self/smaps says of the mapping that begins at `at`.
std::string flags_of(const void* at) {
  std::ostringstream begin;
  begin << std::hex << reinterpret_cast<std::uintptr_t>(at) << '-';
  std::ifstream smaps("/proc/self/smaps");
  bool found = false;
  for (std::string line; std::getline(smaps, line);) {
    found = found || line.starts_with(begin.str());
    if (found && line.starts_with("VmFlags:")) return line + " ";
  }
  return "not there";
}

TEST_F(WipeOnForkTest, ChildrenSeeZerosAndWeTheSecret) {
  const Secret key = made();
  EXPECT_TRUE(all_are(*key, 0x5a));
  EXPECT_FALSE(key.wiped());
  EXPECT_TRUE(call([&] { return key.wiped() && all_are(*key, 0); }).value());
  EXPECT_TRUE(
      call([&] { return call([&] { return key.wiped() && all_are(*key, 0); }).value(); }).value());
  EXPECT_TRUE(all_are(*key, 0x5a));
}

TEST_F(WipeOnForkTest, ChildOfARawCloneSeesZerosToo) {
  const Secret key = made();
  const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(key.wiped() && all_are(*key, 0) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(static_cast<pid_t>(pid), &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST_F(WipeOnForkTest, WhatAChildPutsThereIsItsOwn) {
  Secret key = made();
  EXPECT_TRUE(call([&] {
                key->fill(1);
                return all_are(*key, 1) && call([&] { return all_are(*key, 0); }).value();
              }).value());
  EXPECT_TRUE(all_are(*key, 0x5a));
}

TEST_F(WipeOnForkTest, BeginsAsZerosAndIsMovedWithItsMemory) {
  auto key = Secret::create().value();
  EXPECT_TRUE(all_are(*key, 0));
  key = made();
  const Key* const at = &*key;
  const Secret other = std::move(key);
  EXPECT_EQ(&*other, at);
  EXPECT_TRUE(all_are(*other, 0x5a));
}

TEST_F(WipeOnForkTest, OutsideOfCoreDumps) {
  const Secret key = made();
  const std::string flags = flags_of(&*key);
  EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
  EXPECT_NE(flags.find(" wf "), std::string::npos) << flags;
}

TEST_F(WipeOnForkTest, LargerThanAPageAllOfItIsWiped) {
  auto pages = WipeOnFork<std::array<char, 20'000>>::create().value();
  pages->fill('x');
  EXPECT_TRUE(
      call([&] { return std::ranges::all_of(*pages, [](char c) { return c == 0; }); }).value());
}

// Their own system calls would be refused to sanitizers as well.
TEST_F(WipeOnForkNoAsanTest, OverwrittenBeforeItIsGivenBack) {
  test::in_a_fork([] {
    const Key* at = nullptr;
    {
      const Secret key = made();
      at = &*key;
      test::refuse_call(SYS_munmap);  // so that it can be looked at afterwards
    }
    EXPECT_TRUE(all_are(*at, 0));
  });
}

TEST_F(WipeOnForkNoAsanTest, KernelThatCannotWipeIsAnError) {
  test::in_a_fork([] {
    test::refuse_call(SYS_madvise, MADV_WIPEONFORK);
    const auto key = Secret::create();
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(key.error().to_string(),
              "cannot prepare '32 secret bytes': Invalid argument: this system cannot wipe memory "
              "on a fork (MADV_WIPEONFORK, Linux 4.14)");
  });
}

TEST_F(WipeOnForkNoAsanTest, KernelThatCannotLeaveItOutOfDumpsIsAnError) {
  test::in_a_fork([] {
    test::refuse_call(SYS_madvise, MADV_DONTDUMP);
    const auto key = Secret::create();
    ASSERT_FALSE(key);
    EXPECT_NE(key.error().to_string().find("MADV_DONTDUMP"), std::string::npos);
  });
}

}  // namespace
}  // namespace tine
