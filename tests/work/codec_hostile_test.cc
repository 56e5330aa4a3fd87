// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <random>
#include <string_view>

#include "work/codec_values.h"

namespace tine::test {
namespace {

template <class T>
std::string wrong(const Bytes& bytes) {
  const auto value = decode<T>(bytes);
  if (value) return "nothing";
  EXPECT_EQ(value.error().kind, ErrorKind::undecodable);
  EXPECT_EQ(value.error().stage, Stage::decode);
  EXPECT_EQ(value.error().subject, detail::type_name<T>());
  return value.error().hint;
}
template <class T>
std::string wrong(std::string_view hexadecimal) {
  return wrong<T>(bytes_of(hexadecimal));
}

/// Whatever the bytes are: an Error, or a value that goes round.
template <class T>
void expect_error_or_value(const Bytes& bytes) {
  const auto value = decode<T>(bytes);
  if (!value) {
    ASSERT_EQ(value.error().kind, ErrorKind::undecodable);
    ASSERT_FALSE(value.error().hint.empty());
    return;
  }
  const auto again = encode(*value);
  ASSERT_TRUE(again);
  ASSERT_TRUE(decode<T>(*again));
}

template <class Body>
void with_each_kind(const Body& body) {
  body(some_numbers());
  body(some_containers());
  body(some_sums());
  body(some_times());
  body(some_arrays());
  body(some_tree());
  body(some_job());
  body(std::string("text"));
  body(std::vector<std::byte>(3));
}

TEST(CodecHostileTest, EveryPrefixGivesUndecodable) {
  with_each_kind([]<class T>(const T& value) {
    const Bytes whole = encode(value).value();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      // A copy of its own, so that ASan sees a read behind its end.
      const Bytes prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_NE(wrong<T>(prefix), "nothing") << detail::type_name<T>() << ", " << size << " bytes";
    }
  });
}

TEST(CodecHostileTest, EveryChangeOfOneByteGivesAnErrorOrAValue) {
  with_each_kind([]<class T>(const T& value) {
    Bytes bytes = encode(value).value();
    for (std::byte& byte : bytes) {
      const std::byte right = byte;
      for (int other = 0; other < 256; ++other) {
        byte = static_cast<std::byte>(other);
        expect_error_or_value<T>(bytes);
      }
      byte = right;
    }
  });
}

TEST(CodecHostileTest, RandomBytesGiveAnErrorOrAValue) {
  std::mt19937 random(20240607);
  with_each_kind([&]<class T>(const T&) {
    for (int round = 0; round < 3000; ++round) {
      Bytes bytes(random() % 64);
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
      expect_error_or_value<T>(bytes);
    }
  });
}

TEST(CodecHostileTest, TrailingBytesGiveUndecodable) {
  EXPECT_EQ(wrong<int>("0500"), "at byte 1: 1 bytes follow the value");
  EXPECT_EQ(wrong<Tree>("92019000000000"), "at byte 3: 4 bytes follow the value");
}

TEST(CodecHostileTest, TheErrorSaysWhereAndWhat) {
  const auto item = decode<Job>(*encode(std::tuple{1}));
  ASSERT_FALSE(item);
  EXPECT_EQ(item.error().to_string(),
            "cannot decode 'tine::test::Job': the bytes are not such a value: at byte 0: expected "
            "an array of 6, found an array of 1");
  // [0, [[1, []], ["two", []]]]
  EXPECT_EQ(
      wrong<Tree>("92009292019092a374776f90"),
      "at .1[1].0, byte 7: expected an integer from -2147483648 to 2147483647, found a string "
      "of 3 bytes");
  using Map = std::map<std::string, std::vector<bool>>;
  EXPECT_EQ(wrong<Map>("82a16190a16291c0"),
            "at {1}.value[0], byte 7: expected true or false, found nil");
  EXPECT_EQ(wrong<Map>("81059000"), "at {0}.key, byte 1: expected a string, found 5");
}

TEST(CodecHostileTest, WrongTypesAreNamed) {
  constexpr std::string_view kExpectsNumber =
      "at byte 0: expected an integer from -128 to 127, found ";
  const auto found = [&](std::string_view hexadecimal) {
    const std::string text = wrong<std::int8_t>(hexadecimal);
    EXPECT_TRUE(text.starts_with(kExpectsNumber)) << text;
    return text.substr(kExpectsNumber.size());
  };
  EXPECT_EQ(found("c0"), "nil");
  EXPECT_EQ(found("c2"), "false");
  EXPECT_EQ(found("c3"), "true");
  EXPECT_EQ(found("cb3fe0000000000000"), "the real number 0.5");
  EXPECT_EQ(found("a161"), "a string of 1 bytes");
  EXPECT_EQ(found("c40161"), "binary of 1 bytes");
  EXPECT_EQ(found("d40161"), "an extension type");
  EXPECT_EQ(found("920102"), "an array of 2");
  EXPECT_EQ(found("90"), "an array of 0");
  EXPECT_EQ(found("810102"), "a map of 1");
  EXPECT_EQ(found("c1"), "the byte 0xc1, which begins nothing");
  EXPECT_EQ(found(""), "the end of the bytes");
  EXPECT_EQ(wrong<bool>("01"), "at byte 0: expected true or false, found 1");
  EXPECT_EQ(wrong<double>("c0"), "at byte 0: expected a number, found nil");
  EXPECT_EQ(wrong<std::string>("c40161"), "at byte 0: expected a string, found binary of 1 bytes");
  EXPECT_EQ(wrong<Bytes>("a161"), "at byte 0: expected binary, found a string of 1 bytes");
  EXPECT_EQ(wrong<std::vector<int>>("80"), "at byte 0: expected an array, found a map of 0");
  EXPECT_EQ((wrong<std::map<int, int>>("90")), "at byte 0: expected a map, found an array of 0");
  EXPECT_EQ(wrong<std::monostate>("05"), "at byte 0: expected nil, found 5");
  EXPECT_EQ(wrong<std::optional<int>>("c2"),
            "at byte 0: expected an integer from -2147483648 to 2147483647, found false");
  EXPECT_EQ(wrong<std::optional<std::optional<int>>>("920101"),
            "at byte 0: expected an array of none or one, found 2");
  EXPECT_EQ((wrong<std::expected<int, int>>("920105")),
            "at .0, byte 1: expected true or false, found 1");
  EXPECT_EQ((wrong<std::array<std::byte, 2>>("c40101")),
            "at byte 0: expected binary of 2 bytes, found 1");
}

TEST(CodecHostileTest, IntegersOutOfRangeGiveUndecodable) {
  EXPECT_EQ(wrong<std::int8_t>("cc80"),
            "at byte 0: expected an integer from -128 to 127, found 128");
  EXPECT_EQ(wrong<std::int8_t>("d1ff7f"),
            "at byte 0: expected an integer from -128 to 127, found -129");
  EXPECT_EQ(wrong<std::uint8_t>("ff"), "at byte 0: expected an integer from 0 to 255, found -1");
  EXPECT_EQ(wrong<std::uint8_t>("cd0100"),
            "at byte 0: expected an integer from 0 to 255, found 256");
  EXPECT_EQ(
      wrong<std::int64_t>("cf8000000000000000"),
      "at byte 0: expected an integer from -9223372036854775808 to 9223372036854775807, found "
      "9223372036854775808");
  EXPECT_EQ(wrong<std::uint64_t>("d3ffffffffffffffff"),
            "at byte 0: expected an integer from 0 to 18446744073709551615, found -1");
  EXPECT_NE(wrong<std::chrono::duration<std::int8_t>>("cc80"), "nothing");
}

TEST(CodecHostileTest, EnumsBeyondTheirWidthGiveUndecodable) {
  EXPECT_EQ(decode<Small>(bytes_of("01")), Small::one);
  EXPECT_EQ(wrong<Small>("cc80"), "at byte 0: expected an integer from -128 to 127, found 128");
  EXPECT_EQ(wrong<Flag>("02"), "at byte 0: expected true or false, found 2");
  EXPECT_EQ(decode<Flag>(bytes_of("c3")), Flag::yes);
}

TEST(CodecHostileTest, FloatsBeyondTheirRangeGiveUndecodable) {
  EXPECT_EQ(wrong<float>("cb7e37e43c8800759c"),  // 1e300
            "at byte 0: expected a float, found a number beyond its range");
  EXPECT_NE(wrong<float>("cbfe37e43c8800759c"), "nothing");
  EXPECT_EQ(decode<float>(bytes_of("cb7ff0000000000000")), std::numeric_limits<float>::infinity());
}

TEST(CodecHostileTest, UnknownAlternativesGiveUndecodable) {
  using Either = std::variant<int, std::string>;
  EXPECT_EQ(wrong<Either>("920205"), "at .0, byte 1: expected an integer from 0 to 1, found 2");
  EXPECT_EQ(wrong<Either>("92ff05"), "at .0, byte 1: expected an integer from 0 to 1, found -1");
  EXPECT_EQ(wrong<Either>("920105"), "at .1, byte 2: expected a string, found 5");
  EXPECT_EQ(wrong<Either>("9100"), "at byte 0: expected an array of 2, found an array of 1");
}

TEST(CodecHostileTest, DuplicateKeysGiveUndecodable) {
  EXPECT_EQ(wrong<std::set<int>>("93010201"), "at [2], byte 3: the element is there already");
  EXPECT_EQ(wrong<std::unordered_set<int>>("920101"),
            "at [1], byte 2: the element is there already");
  EXPECT_EQ((wrong<std::map<int, int>>("8201020103")),
            "at {1}.key, byte 4: the key is there already");
  EXPECT_EQ((wrong<std::unordered_map<int, int>>("8201020103")),
            "at {1}.key, byte 4: the key is there already");
  EXPECT_EQ((decode<std::set<int>>(bytes_of("93030102"))), (std::set{1, 2, 3}));  // any order
}

/// Counts what is allocated for values, all of them together.
std::size_t allocated = 0;
template <class T>
struct CountingAllocator {
  using value_type = T;
  CountingAllocator() = default;
  template <class U>
  explicit(false) CountingAllocator(const CountingAllocator<U>&) {}  // NOLINT: as the rules want
  T* allocate(std::size_t count) {
    allocated += count * sizeof(T);
    return std::allocator<T>{}.allocate(count);
  }
  void deallocate(T* at, std::size_t count) { std::allocator<T>{}.deallocate(at, count); }
  bool operator==(const CountingAllocator&) const = default;
};
template <class T>
using Counted = std::vector<T, CountingAllocator<T>>;

/// The hexadecimal digits `what` so many times.
std::string times(std::size_t count, std::string_view what) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += what;
  return text;
}

TEST(CodecHostileTest, AnnouncedSizesBeyondTheBytesAreRefusedBeforeMemoryIsTaken) {
  allocated = 0;
  EXPECT_EQ(wrong<Counted<int>>("ddffffffff00000000"),
            "at byte 0: an array of 4294967295 cannot be in the 4 bytes that are left, with 0 more "
            "items to come");
  EXPECT_EQ(wrong<Counted<Point>>("dd0000000293010293"),
            "at byte 0: an array of 2 cannot be in the 4 bytes that are left, with 0 more items to "
            "come");  // each has 3 bytes
  EXPECT_EQ(wrong<std::string>("dbffffffff6161"),
            "at byte 0: expected a string, found the end of the bytes");
  EXPECT_EQ(wrong<Bytes>("c6ffffffff6161"),
            "at byte 0: expected binary, found the end of the bytes");
  EXPECT_EQ((wrong<std::map<int, int>>("df7fffffff0102")),
            "at byte 0: a map of 2147483647 cannot be in the 2 bytes that are left, with 0 more "
            "items to come");
  EXPECT_EQ((wrong<std::unordered_map<int, int>>("dfffffffff0102")),
            "at byte 0: a map of 4294967295 cannot be in the 2 bytes that are left, with 0 more "
            "items to come");
  EXPECT_EQ(allocated, 0u);
}

TEST(CodecHostileTest, AllAnnouncedSizesTogetherStayWithinTheBytes) {
  // Each array announces as many as there are bytes behind it, but so did those around it.
  using Deep = Counted<Counted<Counted<Counted<int>>>>;
  const std::string zeros = times(1000, "00");
  EXPECT_EQ(wrong<Deep>("dc01f4dc01f9" + zeros),
            "at [0], byte 3: an array of 505 cannot be in the 1000 bytes that are left, with 499 "
            "more items to come");
  EXPECT_EQ(wrong<Deep>("dc01f4dc01f4dc0003" + zeros),
            "at [0][0], byte 6: an array of 3 cannot be in the 1000 bytes that are left, with 998 "
            "more items to come");
  allocated = 0;
  EXPECT_NE(wrong<Deep>("dc01f0"
                        "dc01f0"
                        "dc01f0" +
                        zeros),
            "nothing");
  EXPECT_LT(allocated, 2 * 24 * 1009u);  // a vector has 24 bytes, an array at least one
}

TEST(CodecHostileTest, MemoryIsBoundedByTheBytesThatCame) {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes(1 + random() % 200);
    for (std::byte& byte : bytes) {  // mostly headers of arrays
      byte = static_cast<std::byte>(random() % 3 == 0 ? random() : 0x90 + random() % 16);
    }
    allocated = 0;
    using Element = Counted<Counted<std::uint64_t>>;
    expect_error_or_value<Counted<Element>>(bytes);
    ASSERT_LE(allocated, 2 * 24 * bytes.size());  // twice: it is encoded and decoded again
  }
}

TEST(CodecHostileTest, DepthIsCappedInReading) {
  // Link: [1, [1, ... nil]]
  const auto chain = [](std::size_t depth) { return times(depth, "9201") + "c0"; };
  EXPECT_TRUE(decode<Link>(bytes_of(chain(128))));
  EXPECT_TRUE(wrong<Link>(chain(129)).ends_with("byte 256: it is nested deeper than 128"));
  EXPECT_TRUE(wrong<Link>(chain(1'000'000)).ends_with("byte 256: it is nested deeper than 128"));
  // Tree: [1, [[1, [... []]]]]
  EXPECT_TRUE(decode<Tree>(bytes_of(times(63, "920191") + "920190")));
  EXPECT_TRUE(
      wrong<Tree>(times(64, "920191") + "920190").ends_with("it is nested deeper than 128"));
  EXPECT_TRUE(wrong<Tree>(times(1'000'000, "920191")).ends_with("it is nested deeper than 128"));
}

TEST(CodecHostileTest, DepthIsCappedInWriting) {
  Link link{0, nullptr};
  for (int i = 1; i < 128; ++i) link = {i, std::make_unique<Link>(std::move(link))};
  EXPECT_TRUE(encode(link));
  link = {128, std::make_unique<Link>(std::move(link))};
  const auto bytes = encode(link);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().kind, ErrorKind::unencodable);
  EXPECT_EQ(bytes.error().stage, Stage::encode);
  EXPECT_TRUE(bytes.error().hint.ends_with(".1.1.1: it is nested deeper than 128"));
}

}  // namespace
}  // namespace tine::test
