// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "work/codec_values.h"

namespace tine::test {
namespace {

#define EXPECT_ROUND_TRIP(sent) EXPECT_EQ(there_and_back(sent).value(), sent)

TEST(CodecRoundTripTest, NumbersOfEveryWidthComeBackAtTheirLimits) {
  const auto limits = []<class T>(T) {
    using Limits = std::numeric_limits<T>;
    for (const T value : {Limits::min(), Limits::lowest(), Limits::max(), T{}, static_cast<T>(1)}) {
      EXPECT_ROUND_TRIP(value);
    }
  };
  limits(std::int8_t{});
  limits(std::int16_t{});
  limits(std::int32_t{});
  limits(std::int64_t{});
  limits(std::uint8_t{});
  limits(std::uint16_t{});
  limits(std::uint32_t{});
  limits(std::uint64_t{});
  limits(char{});
  limits(wchar_t{});
  limits(char8_t{});
  limits(char32_t{});
  limits(bool{});
  limits(float{});
  limits(double{});
  limits(static_cast<long long>(0));
}

TEST(CodecRoundTripTest, EveryIntegerOf16BitsComesBack) {
  for (int i = -32768; i <= 65535; ++i) {
    ASSERT_EQ(there_and_back(i).value(), i);
    if (i >= 0) {
      ASSERT_EQ(there_and_back(static_cast<std::uint16_t>(i)).value(), i);
    }
  }
}

TEST(CodecRoundTripTest, NumbersThatAreNoneComeBack) {
  EXPECT_ROUND_TRIP(std::numeric_limits<double>::infinity());
  EXPECT_ROUND_TRIP(-std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(there_and_back(std::nan("")).value()));
  EXPECT_TRUE(std::isnan(there_and_back(std::nanf("")).value()));
  EXPECT_TRUE(std::signbit(there_and_back(-0.0).value()));
}

enum WithoutAType { without_a, without_b = 1000 };

TEST(CodecRoundTripTest, EnumsComeBackAlsoWithoutATypeOfTheirOwn) {
  EXPECT_ROUND_TRIP(Small::minus);
  EXPECT_ROUND_TRIP(plain_b);
  EXPECT_ROUND_TRIP(without_a);
  EXPECT_ROUND_TRIP(without_b);
}

TEST(CodecRoundTripTest, AggregatesComeBack) {
  EXPECT_ROUND_TRIP(some_numbers());
  EXPECT_ROUND_TRIP(some_containers());
  EXPECT_ROUND_TRIP(some_sums());
  EXPECT_ROUND_TRIP(some_times());
  EXPECT_ROUND_TRIP(some_arrays());
  EXPECT_ROUND_TRIP(some_tree());
  EXPECT_ROUND_TRIP(some_job());
  EXPECT_ROUND_TRIP(Numbers{});
  EXPECT_ROUND_TRIP(Containers{});
  EXPECT_ROUND_TRIP(Sums{});
  EXPECT_ROUND_TRIP(Job{});
  EXPECT_ROUND_TRIP(Empty{});
}

TEST(CodecRoundTripTest, ContainersOfEverySizeOfHeaderComeBack) {
  for (const std::size_t size : {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536}) {
    EXPECT_ROUND_TRIP(std::string(size, 'x'));
    EXPECT_ROUND_TRIP(std::vector<std::byte>(size, std::byte{7}));
    EXPECT_ROUND_TRIP(std::vector<int>(size, 1000));
    EXPECT_ROUND_TRIP(std::vector<bool>(size, true));
    std::map<std::size_t, int> map;
    std::unordered_map<std::size_t, int> unordered;
    for (std::size_t i = 0; i < size; ++i) map[i] = unordered[i * 7919] = static_cast<int>(i);
    EXPECT_ROUND_TRIP(map);
    EXPECT_ROUND_TRIP(unordered);
  }
}

TEST(CodecRoundTripTest, EmptyAndNestedOptionalsStayApart) {
  using Inner = std::optional<int>;
  using Middle = std::optional<Inner>;
  using Outer = std::optional<Middle>;
  EXPECT_ROUND_TRIP(Outer{});
  EXPECT_ROUND_TRIP(Outer{Middle{}});
  EXPECT_ROUND_TRIP(Outer{Middle{Inner{}}});
  EXPECT_ROUND_TRIP(Outer{Middle{Inner{5}}});
  EXPECT_ROUND_TRIP(std::optional<std::monostate>{});
  EXPECT_ROUND_TRIP(std::optional<std::monostate>{std::monostate{}});
  EXPECT_ROUND_TRIP((std::optional<std::expected<int, int>>{std::unexpected(1)}));
}

TEST(CodecRoundTripTest, VariantsComeBackAsTheSameAlternativeAlsoOfOneType) {
  using Same = std::variant<int, int, std::string, int>;
  for (const Same& value : {Same{std::in_place_index<0>, 1}, Same{std::in_place_index<1>, 1},
                            Same{std::in_place_index<2>, "x"}, Same{std::in_place_index<3>, 1}}) {
    EXPECT_ROUND_TRIP(value);
  }
}

TEST(CodecRoundTripTest, ExpectedComesBackAsValueOrError) {
  using Text = std::expected<std::string, int>;
  EXPECT_ROUND_TRIP(Text{"value"});
  EXPECT_ROUND_TRIP(Text{std::unexpected(5)});
  EXPECT_TRUE((there_and_back(std::expected<void, int>{}).value().has_value()));
  EXPECT_EQ((there_and_back(std::expected<void, int>{std::unexpected(5)}).value().error()), 5);
}

TEST(CodecRoundTripTest, PointersComeBackAsWhatTheyPointTo) {
  EXPECT_EQ(there_and_back(std::unique_ptr<int>{}).value(), nullptr);
  EXPECT_EQ(*there_and_back(std::make_unique<int>(5)).value(), 5);
  const auto nested = std::make_unique<std::unique_ptr<int>>();
  const auto back = there_and_back(nested).value();
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(*back, nullptr);
  const Link chain{1, std::make_unique<Link>(2, std::make_unique<Link>(3, nullptr))};
  EXPECT_ROUND_TRIP(chain);
}

TEST(CodecRoundTripTest, PartsThatAreConstComeBack) {
  EXPECT_EQ(*there_and_back(std::make_unique<const int>(5)).value(), 5);
  EXPECT_EQ(*there_and_back(std::make_unique<const Point>(Point{1, 2})).value(), (Point{1, 2}));
  EXPECT_ROUND_TRIP((std::vector<std::pair<const int, std::string>>{{1, "x"}}));
  EXPECT_ROUND_TRIP((std::tuple<const std::string, const bool>{"x", true}));
}

TEST(CodecRoundTripTest, RowsComeBack) {
  EXPECT_ROUND_TRIP(std::tuple<>{});
  EXPECT_ROUND_TRIP(std::tuple{std::tuple{1}});
  EXPECT_ROUND_TRIP((std::tuple{1, std::string("x"), std::pair{2.5, Empty{}}}));
  EXPECT_ROUND_TRIP((std::array<std::vector<int>, 2>{{{1}, {}}}));
  EXPECT_ROUND_TRIP((std::array<int, 0>{}));
  EXPECT_ROUND_TRIP((std::array<std::byte, 3>{}));
  EXPECT_ROUND_TRIP((std::array<std::byte, 0>{}));
  EXPECT_ROUND_TRIP((std::complex<double>{1, 2}));
}

TEST(CodecRoundTripTest, PathsComeBackByteForByte) {
  EXPECT_ROUND_TRIP(std::filesystem::path("/no/utf8/\xff\xfe"));
  EXPECT_ROUND_TRIP(std::filesystem::path());
}

TEST(CodecRoundTripTest, WhatIsEncodedBehindOtherBytesIsTheSame) {
  std::vector<std::byte> bytes(3, std::byte{9});
  {
    detail::VectorSink sink{bytes};
    ASSERT_TRUE(encode(some_job(), sink));
    ASSERT_TRUE(encode(5, sink));
  }
  const auto alone = encode(some_job());
  ASSERT_TRUE(alone);
  ASSERT_EQ(bytes.size(), 3 + alone->size() + 1);
  EXPECT_EQ(decode<Job>(std::span(bytes).subspan(3, alone->size())), some_job());
  EXPECT_EQ(bytes.back(), std::byte{5});
}

}  // namespace
}  // namespace tine::test
