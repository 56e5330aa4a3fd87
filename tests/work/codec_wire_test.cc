// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cstdio>
#include <string_view>

#include "work/codec_values.h"

namespace tine::test {
namespace {

/// The bytes of `value` in hexadecimal.
template <class T>
std::string hex(const T& value) {
  const auto bytes = encode(value);
  if (!bytes) return bytes.error().to_string();
  std::string text;
  for (const std::byte byte : *bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", std::to_integer<unsigned>(byte));
    text += two;
  }
  return text;
}

TEST(CodecWireTest, NumbersTakeTheShortestForm) {
  EXPECT_EQ(hex(0), "00");
  EXPECT_EQ(hex(127), "7f");
  EXPECT_EQ(hex(128), "cc80");
  EXPECT_EQ(hex(std::int64_t{256}), "cd0100");
  EXPECT_EQ(hex(65536), "ce00010000");
  EXPECT_EQ(hex(std::uint64_t{1} << 32), "cf0000000100000000");
  EXPECT_EQ(hex(-1), "ff");
  EXPECT_EQ(hex(-32), "e0");
  EXPECT_EQ(hex(-33), "d0df");
  EXPECT_EQ(hex(-129), "d1ff7f");
  EXPECT_EQ(hex(-32769), "d2ffff7fff");
  EXPECT_EQ(hex(std::int64_t{-2147483649}), "d3ffffffff7fffffff");
  EXPECT_EQ(hex(true), "c3");
  EXPECT_EQ(hex(false), "c2");
  EXPECT_EQ(hex(1.0F), "ca3f800000");
  EXPECT_EQ(hex(1.0), "cb3ff0000000000000");
}

TEST(CodecWireTest, EachTypeHasTheFormOfTheTable) {
  EXPECT_EQ(hex(Small::minus), "ff");
  EXPECT_EQ(hex('a'), "61");
  EXPECT_EQ(hex(std::string("abc")), "a3616263");
  EXPECT_EQ(hex(std::filesystem::path("/a")), "a22f61");
  EXPECT_EQ(hex(std::vector<std::byte>{std::byte{1}, std::byte{2}}), "c4020102");
  EXPECT_EQ(hex(std::vector{1, 2}), "920102");
  EXPECT_EQ(hex(std::vector{true, false}), "92c3c2");
  EXPECT_EQ(hex(std::set{2, 1}), "920102");
  EXPECT_EQ(hex(std::map<std::string, int>{{"a", 1}}), "81a16101");
  EXPECT_EQ(hex(std::pair{1, true}), "9201c3");
  EXPECT_EQ(hex(std::tuple{}), "90");
  EXPECT_EQ(hex(Empty{}), "90");
  EXPECT_EQ(hex(Tree{1, {{2, {}}}}), "920191920290");
  EXPECT_EQ(hex(std::optional<int>{}), "c0");
  EXPECT_EQ(hex(std::optional<int>{1}), "01");
  EXPECT_EQ(hex(std::optional<std::optional<int>>{}), "90");
  EXPECT_EQ(hex(std::optional<std::optional<int>>{std::optional<int>{}}), "91c0");
  using Thrice = std::optional<std::optional<std::optional<int>>>;
  EXPECT_EQ(hex(Thrice{}), "c0");
  EXPECT_EQ(hex(Thrice{std::optional<std::optional<int>>{}}), "90");
  EXPECT_EQ(hex(Thrice{std::optional<int>{}}), "91c0");
  EXPECT_EQ(hex(std::make_unique<int>(1)), "01");
  EXPECT_EQ(hex(std::monostate{}), "c0");
  EXPECT_EQ(hex(std::variant<std::monostate, int>{}), "9200c0");
  EXPECT_EQ(hex(std::variant<std::monostate, int>{5}), "920105");
  EXPECT_EQ(hex(std::expected<int, int>{5}), "92c305");
  EXPECT_EQ(hex(std::expected<int, int>{std::unexpected(5)}), "92c205");
  EXPECT_EQ(hex(std::expected<void, int>{}), "92c3c0");
  EXPECT_EQ(hex(std::chrono::milliseconds(5)), "05");
  EXPECT_EQ(hex(std::chrono::sys_seconds(std::chrono::seconds(5))), "05");
  EXPECT_EQ(hex(std::complex<float>(1, 0)), "92ca3f800000ca00000000");
}

TEST(CodecWireTest, LongerFormsThanNeededAreRead) {
  for (const char* const five : {"05", "cc05", "cd0005", "ce00000005", "cf0000000000000005", "d005",
                                 "d10005", "d200000005", "d30000000000000005"}) {
    EXPECT_EQ(decode<std::int8_t>(bytes_of(five)), 5) << five;
    EXPECT_EQ(decode<std::uint64_t>(bytes_of(five)), 5u) << five;
    EXPECT_EQ(decode<double>(bytes_of(five)), 5.0) << five;
  }
  EXPECT_EQ(decode<std::string>(bytes_of("db0000000161")), "a");
  EXPECT_EQ(decode<std::vector<int>>(bytes_of("dd0000000105")), std::vector{5});
  EXPECT_EQ((decode<std::map<int, int>>(bytes_of("df000000010506"))), (std::map<int, int>{{5, 6}}));
  EXPECT_EQ(decode<float>(bytes_of("cb3ff0000000000000")), 1.0F);
  EXPECT_EQ(decode<double>(bytes_of("ca3f800000")), 1.0);
}

TEST(CodecWireTest, WhatIsEncodedTwiceIsTheSame) {
  const auto once = encode(some_job());
  ASSERT_TRUE(once);
  const auto back = decode<Job>(*once);
  ASSERT_TRUE(back);
  EXPECT_EQ(encode(*back).value(), *once);
}

}  // namespace
}  // namespace tine::test
