// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <any>
#include <functional>
#include <string_view>

#include "work/codec_values.h"

namespace tine::test {
namespace {

/// Has no value of its own accord.
struct Celsius {
  explicit Celsius(double value) : degrees(value) {}
  double degrees;
  bool operator==(const Celsius&) const = default;
};

}  // namespace
}  // namespace tine::test

template <>
struct tine::Codec<tine::test::Celsius> {
  static void encode(Encoder& encoder, const test::Celsius& celsius) {
    encoder.write(celsius.degrees);
  }
  static test::Celsius decode(Decoder& decoder) { return test::Celsius(decoder.read<double>()); }
};

namespace tine::test {
namespace {

struct None {};
struct One {
  int a;
};
struct Thirty {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15;
  std::string b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15;
  auto operator<=>(const Thirty&) const = default;
};
struct ThirtyTwo {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16;
  std::string b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16;
  auto operator<=>(const ThirtyTwo&) const = default;
};
struct Forty {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20;
  char b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16, b17, b18, b19, b20;
  auto operator<=>(const Forty&) const = default;
};
struct FortyOne {
  Forty forty;
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20;
  char b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16, b17, b18, b19, b20;
};
struct LargeArrays {
  char path[4096];
  double grid[100][100];
  int last;
};
struct WithCelsius {
  std::string where;
  Celsius celsius;
  std::vector<Celsius> more;
  bool operator==(const WithCelsius&) const = default;
};
struct ManyCelsius {
  Celsius first;
  std::optional<Celsius> second;
  std::array<Celsius, 3> third;
  std::variant<Celsius, int> fourth;
  std::pair<Celsius, int> fifth;
  std::expected<Celsius, Celsius> sixth;
  std::map<std::string, Celsius> seventh;
  bool operator==(const ManyCelsius&) const = default;
};
struct Greedy {
  Greedy() = default;
  template <class T>
  explicit(false) Greedy(T&&) {}  // NOLINT: takes everything
};
struct Reference {
  int& a;
  const std::string& b;
  int&& c;
};
struct Refused {
  const char* text;
  std::string_view view;
  std::function<void()> function;
  std::any any;
  Greedy greedy;
};
struct Base {
  int a;
};
struct Derived : Base {
  int b;
};
struct EmptyBase : None {
  int b;
};
struct DerivedCelsius : Celsius {
  Celsius b;
};
struct GreedyFirst {
  Greedy greedy;
  std::any any;
};

TEST(CodecAggregateTest, MembersAreCounted) {
  EXPECT_EQ(detail::member_count<None>(), 0u);
  EXPECT_EQ(detail::member_count<One>(), 1u);
  EXPECT_EQ(detail::member_count<Numbers>(), 14u);
  EXPECT_EQ(detail::member_count<Containers>(), 10u);
  EXPECT_EQ(detail::member_count<Sums>(), 7u);
  EXPECT_EQ(detail::member_count<Thirty>(), 30u);
  EXPECT_EQ(detail::member_count<ThirtyTwo>(), 32u);
  EXPECT_EQ(detail::member_count<Forty>(), detail::kMostMembers);
  EXPECT_EQ(detail::member_count<FortyOne>(), detail::kMostMembers + 1);
  EXPECT_EQ(detail::member_count<LargeArrays>(), 3u);
  EXPECT_EQ(detail::member_count<WithCelsius>(), 3u);
  EXPECT_EQ(detail::member_count<ManyCelsius>(), 7u);
  EXPECT_EQ(detail::member_count<Reference>(), 3u);
  EXPECT_EQ(detail::member_count<Refused>(), 5u);
}

TEST(CodecAggregateTest, BaseClassesAreSeen) {
  EXPECT_TRUE(detail::has_base<Derived>());
  EXPECT_TRUE(detail::has_base<EmptyBase>());
  EXPECT_TRUE(detail::has_base<DerivedCelsius>());
  EXPECT_FALSE(detail::has_base<Base>());
  EXPECT_FALSE(detail::has_base<WithCelsius>());
  EXPECT_FALSE(detail::has_base<GreedyFirst>());
  EXPECT_FALSE(detail::has_base<None>());
}

TEST(CodecAggregateTest, WhatCannotTravelIsKnownWithoutAnError) {
  EXPECT_TRUE(detail::travels<Job>);
  EXPECT_TRUE(detail::travels<ManyCelsius>);
  EXPECT_TRUE(detail::travels<Tree>);
  EXPECT_FALSE(detail::travels<Reference>);
  EXPECT_FALSE(detail::travels<Refused>);
  EXPECT_FALSE(detail::travels<Derived>);
  EXPECT_FALSE(detail::travels<FortyOne>);
  EXPECT_FALSE(detail::travels<std::vector<std::vector<int*>>>);
  EXPECT_FALSE((detail::travels<std::map<int, std::string_view>>));
  EXPECT_FALSE(detail::travels<std::shared_ptr<int>>);
  EXPECT_FALSE(detail::travels<std::reference_wrapper<int>>);
  EXPECT_FALSE(detail::travels<long double>);
  EXPECT_FALSE(detail::travels<int&>);
  EXPECT_FALSE(detail::travels<const int>);
  EXPECT_FALSE(detail::travels<int[3]>);
  EXPECT_FALSE(detail::travels<std::unique_ptr<int[]>>);
  EXPECT_FALSE(detail::travels<void>);
  EXPECT_FALSE(detail::travels<decltype([] {})>);
}

TEST(CodecAggregateTest, FortyMembersComeBackInOrder) {
  Forty forty{};
  forty.a1 = 1;
  forty.a20 = 20;
  forty.b1 = 'a';
  forty.b20 = 'z';
  EXPECT_EQ(there_and_back(forty), forty);
  ThirtyTwo many{};
  many.a1 = 1;
  many.b16 = "last";
  EXPECT_EQ(there_and_back(many), many);
}

TEST(CodecAggregateTest, LargeArraysComeBack) {
  auto sent = std::make_unique<LargeArrays>();
  sent->path[4095] = 'x';
  sent->grid[99][99] = 2.5;
  sent->last = 7;
  const auto bytes = encode(*sent);
  ASSERT_TRUE(bytes) << bytes.error().to_string();
  const auto back = decode<LargeArrays>(*bytes);
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(back->path[4095], 'x');
  EXPECT_EQ(back->grid[99][99], 2.5);
  EXPECT_EQ(back->last, 7);
}

TEST(CodecAggregateTest, MembersWithoutADefaultComeBack) {
  const WithCelsius sent{"here", Celsius(21.5), {Celsius(1), Celsius(2)}};
  EXPECT_EQ(there_and_back(sent), sent);
  const ManyCelsius many{.first = Celsius(1),
                         .second = Celsius(2),
                         .third = {Celsius(3), Celsius(4), Celsius(5)},
                         .fourth = Celsius(6),
                         .fifth = {Celsius(7), 8},
                         .sixth = std::unexpected(Celsius(9)),
                         .seventh = {{"ten", Celsius(10)}}};
  EXPECT_EQ(there_and_back(many), many);
}

struct MoveOnly {
  std::unique_ptr<std::string> text;
  std::vector<std::unique_ptr<int>> numbers;
  std::map<int, std::unique_ptr<int>> map;
  std::variant<std::unique_ptr<int>, int> either;
  std::optional<std::unique_ptr<int>> maybe;
};

TEST(CodecAggregateTest, MembersThatOnlyMoveComeBack) {
  MoveOnly sent;
  sent.text = std::make_unique<std::string>("text");
  sent.numbers.push_back(std::make_unique<int>(1));
  sent.numbers.push_back(nullptr);
  sent.map[3] = std::make_unique<int>(4);
  sent.either = std::make_unique<int>(5);
  sent.maybe.emplace();
  const auto bytes = encode(sent);
  ASSERT_TRUE(bytes) << bytes.error().to_string();
  const auto back = decode<MoveOnly>(*bytes);
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(*back->text, "text");
  EXPECT_EQ(*back->numbers.at(0), 1);
  EXPECT_EQ(back->numbers.at(1), nullptr);
  EXPECT_EQ(*back->map.at(3), 4);
  EXPECT_EQ(*std::get<0>(back->either), 5);
  ASSERT_TRUE(back->maybe.has_value());
  EXPECT_EQ(*back->maybe, nullptr);
}

struct WithConst {
  const int number;
  const std::string text;
  bool operator==(const WithConst&) const = default;
};
struct WithDefaults {
  int number = 5;
  Celsius celsius = Celsius(1);
  std::string text = "default";
  bool operator==(const WithDefaults&) const = default;
};

TEST(CodecAggregateTest, ConstMembersAndInitialisersComeBack) {
  EXPECT_EQ(there_and_back(WithConst{1, "x"}), (WithConst{1, "x"}));
  EXPECT_EQ(there_and_back(WithDefaults{1, Celsius(2), "x"}), (WithDefaults{1, Celsius(2), "x"}));
}

struct Wrapper {
  std::vector<Wrapper> inner;
  bool operator==(const Wrapper&) const = default;
};

TEST(CodecAggregateTest, AnAggregateOfItselfIsNotTakenForACopy) {
  const Wrapper sent{{Wrapper{}, Wrapper{{Wrapper{}}}}};
  EXPECT_EQ(there_and_back(sent), sent);
}

TEST(CodecAggregateTest, AnotherCountOfMembersIsRefused) {
  const auto bytes = encode(std::tuple{1, 2});
  ASSERT_TRUE(bytes);
  EXPECT_EQ(decode<One>(*bytes).error().hint,
            "at byte 0: expected an array of 1, found an array of 2");
  EXPECT_FALSE(decode<Point>(*encode(std::tuple{1.0})));
  EXPECT_TRUE(decode<Point>(*encode(std::tuple{1.0, 2.0})));
}

}  // namespace
}  // namespace tine::test
