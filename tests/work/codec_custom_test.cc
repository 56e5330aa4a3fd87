// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <new>
#include <ranges>
#include <stdexcept>

#include "work/codec_values.h"

namespace tine::test {
namespace {

/// A class that nobody can look into.
class Colour {
 public:
  explicit Colour(std::string name) : name_(std::move(name)) {
    if (name_.empty()) throw std::invalid_argument("a colour without a name");
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  bool operator==(const Colour&) const = default;

 private:
  std::string name_;
};

/// A container of its own kind.
class Ring {
 public:
  void push(int number) { numbers_.push_back(number); }
  [[nodiscard]] const std::deque<int>& numbers() const { return numbers_; }
  bool operator==(const Ring&) const = default;

 private:
  std::deque<int> numbers_;
};

/// Two values and an option in it.
class Span {
 public:
  Span(int begin, int end, std::string unit) : begin_(begin), end_(end), unit_(std::move(unit)) {}
  bool operator==(const Span&) const = default;
  int begin_, end_;
  std::string unit_;
};

struct Painted {
  int number = 0;
  std::vector<Colour> colours{};
  std::optional<Colour> best{};
  Ring ring{};
  bool operator==(const Painted&) const = default;
};

/// Whatever `encode` and `decode` are told to do.
struct Odd {
  enum class Does : std::uint8_t {
    right,
    nothing,
    twice,
    itself,
    swallow,
    bad_alloc,
    fail,
    throw_int
  };
  Does writes = Does::right;
  Does reads = Does::right;
};
Odd::Does reads = Odd::Does::right;

}  // namespace
}  // namespace tine::test

namespace tine {

template <>
struct Codec<test::Colour> {
  static void encode(Encoder& encoder, const test::Colour& colour) {
    if (colour.name() == "invisible") encoder.fail("nobody can see it");
    encoder.write(colour.name());
  }
  static test::Colour decode(Decoder& decoder) {
    auto name = decoder.read<std::string>();
    if (name == "octarine") decoder.fail("there is no such colour");
    return test::Colour(std::move(name));
  }
};

template <>
struct Codec<test::Ring> {
  static void encode(Encoder& encoder, const test::Ring& ring) {
    encoder.write_array(ring.numbers());
  }
  static test::Ring decode(Decoder& decoder) {
    test::Ring ring;
    decoder.read_array<int>([&](int number) { ring.push(number); });
    return ring;
  }
};

template <>
struct Codec<test::Span> {
  static void encode(Encoder& encoder, const test::Span& span) {
    encoder.write(span.begin_, span.end_, span.unit_);
  }
  static test::Span decode(Decoder& decoder) {
    auto [begin, end, unit] = decoder.read<int, int, std::string>();
    return {begin, end, std::move(unit)};
  }
};

template <>
struct Codec<test::Odd> {
  using Does = test::Odd::Does;
  static void encode(Encoder& encoder, const test::Odd& odd) {
    if (odd.writes == Does::throw_int) throw 5;
    if (odd.writes == Does::bad_alloc) throw std::bad_alloc();
    if (odd.writes == Does::nothing) return;
    encoder.write(0);
    if (odd.writes == Does::twice) encoder.write(0);
  }
  static test::Odd decode(Decoder& decoder) {
    switch (test::reads) {
      case Does::nothing: return {};
      case Does::twice:
        static_cast<void>(decoder.read<int>());
        static_cast<void>(decoder.read<int>());
        return {};
      case Does::itself: return decoder.read<test::Odd>();
      case Does::swallow: try { static_cast<void>(decoder.read<std::string>());
        } catch (...) {  // which it should not: the item has been read
        }
        return {};
      case Does::bad_alloc: throw std::bad_alloc();
      case Does::fail: decoder.fail("as told");
      case Does::throw_int: throw 5;
      case Does::right: break;
    }
    static_cast<void>(decoder.read<int>());
    return {};
  }
};

}  // namespace tine

namespace tine::test {
namespace {

std::string wrong_with(Odd::Does how) {
  reads = how;
  const auto bytes = encode(std::vector<Odd>(2));
  const auto value = decode<std::vector<Odd>>(bytes.value());
  reads = Odd::Does::right;
  return value ? "nothing" : value.error().hint;
}

TEST(CodecCustomTest, ClassesWithACodecComeBackWhereverTheyAre) {
  const Painted painted{
      .number = 1, .colours = {Colour("red"), Colour("green")}, .best = Colour("blue"), .ring = {}};
  EXPECT_EQ(there_and_back(painted), painted);
  EXPECT_EQ(there_and_back(Span(1, 2, "m")), Span(1, 2, "m"));
  Ring ring;
  for (int i = 0; i < 100; ++i) ring.push(i);
  EXPECT_EQ(there_and_back(ring), ring);
  EXPECT_EQ(there_and_back(std::optional<Ring>{}).value(), std::nullopt);
}

TEST(CodecCustomTest, ACodecMayRefuseItsValue) {
  const auto bytes = encode(Painted{.colours = {Colour("red"), Colour("invisible")}});
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().to_string(),
            "cannot encode '" + std::string(detail::type_name<Painted>()) +
                "': the value cannot travel: at .1[1]: nobody can see it");
  const auto value = decode<Painted>(*encode(
      std::tuple{1, std::vector<std::string>{"octarine"}, std::vector<int>{}, std::vector<int>{}}));
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().hint, "at .1[0], byte 3: there is no such colour");
}

TEST(CodecCustomTest, WhatACodecThrowsIsTheError) {
  const auto value = decode<std::vector<Colour>>(*encode(std::vector<std::string>{"red", ""}));
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().kind, ErrorKind::undecodable);
  EXPECT_EQ(value.error().hint, "at [1], byte 5: a colour without a name");
  EXPECT_EQ(wrong_with(Odd::Does::throw_int),
            "at [0], byte 0: an exception that is no std::exception");
  const auto bytes = encode(Odd{.writes = Odd::Does::throw_int});
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().hint, "an exception that is no std::exception");
}

TEST(CodecCustomTest, BadAllocGoesOn) {
  EXPECT_THROW(wrong_with(Odd::Does::bad_alloc), std::bad_alloc);
  reads = Odd::Does::right;
  EXPECT_THROW(static_cast<void>(encode(Odd{.writes = Odd::Does::bad_alloc})), std::bad_alloc);
}

TEST(CodecCustomTest, ACodecHasToWriteOneValueAndToReadOne) {
  constexpr std::string_view kWrite = "a Codec has to write exactly one value";
  EXPECT_EQ(encode(Odd{.writes = Odd::Does::nothing}).error().hint, kWrite);
  EXPECT_EQ(encode(Odd{.writes = Odd::Does::twice}).error().hint, kWrite);
  constexpr std::string_view kRead = "a Codec has to read exactly one value";
  EXPECT_TRUE(wrong_with(Odd::Does::nothing).ends_with(kRead));
  EXPECT_TRUE(wrong_with(Odd::Does::twice).ends_with(kRead));
  EXPECT_EQ(wrong_with(Odd::Does::right), "nothing");
}

TEST(CodecCustomTest, ACodecThatReadsOnStaysWithinTheBytes) {
  reads = Odd::Does::twice;
  const auto value = decode<Odd>(*encode(0));
  reads = Odd::Does::right;
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().hint, "at byte 0: more is read than there should be");
}

TEST(CodecCustomTest, ACodecThatCallsItselfIsCapped) {
  EXPECT_EQ(wrong_with(Odd::Does::itself), "at [0], byte 0: it is nested deeper than 128");
}

TEST(CodecCustomTest, AnErrorThatACodecCatchesStaysAnError) {
  EXPECT_EQ(wrong_with(Odd::Does::swallow), "at [0], byte 1: expected a string, found 0");
}

/// Memory that takes `left` bytes more.
class SmallSink final : public detail::ByteSink {
 public:
  explicit SmallSink(std::size_t left) : bytes_(left) { window(bytes_.data(), &bytes_[0] + left); }

 private:
  bool grow(std::size_t) override {
    set_errno(ENOSPC);
    return false;
  }
  std::vector<std::byte> bytes_;
};

TEST(CodecCustomTest, ASinkThatIsFullIsAnErrorWithItsErrno) {
  const std::size_t needed = encode(some_job())->size();
  for (std::size_t size = 1; size < needed; ++size) {
    SmallSink sink{size};
    const auto done = encode(some_job(), sink);
    ASSERT_FALSE(done);
    ASSERT_EQ(done.error().kind, ErrorKind::no_space);
    ASSERT_EQ(done.error().to_string(), "cannot encode 'tine::test::Job': No space left on device");
  }
  SmallSink enough{needed};
  EXPECT_TRUE(encode(some_job(), enough));
}

TEST(CodecCustomTest, WhatIsTooLongForMessagePackIsAnError) {
  constexpr std::size_t kSize = std::size_t{1} << 32;
  // Reserved, but never touched.
  void* const at =
      ::mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(at, MAP_FAILED);
  const auto wrong = [](const auto& write) {
    detail::WireWriter wire{nullptr, "Blob"};
    try {
      wire.array(1);
      wire.at(detail::Step::member, 0);
      write(wire);
      return std::string("nothing");
    } catch (...) {
      return wire.error_in_flight().to_string();
    }
  };
  EXPECT_EQ(wrong([&](auto& wire) { wire.string({static_cast<const char*>(at), kSize}); }),
            "cannot encode 'Blob': the value cannot travel: at .0: a string of 4294967296 bytes, "
            "where MessagePack holds 4294967295 at most");
  EXPECT_EQ(wrong([&](auto& wire) { wire.binary({static_cast<const std::byte*>(at), kSize}); }),
            "cannot encode 'Blob': the value cannot travel: at .0: binary of 4294967296 bytes, "
            "where MessagePack holds 4294967295 at most");
  EXPECT_EQ(wrong([&](auto& wire) { wire.string({static_cast<const char*>(at), kSize - 1}); }),
            "nothing");
  ::munmap(at, kSize);
}

/// As many numbers as nobody could store.
struct Endless {};

}  // namespace
}  // namespace tine::test

template <>
struct tine::Codec<tine::test::Endless> {
  static void encode(Encoder& encoder, const test::Endless&) {
    encoder.write_array(std::views::iota(std::uint64_t{0}, std::uint64_t{1} << 32));
  }
  static test::Endless decode(Decoder&) { return {}; }
};

namespace tine::test {
namespace {

TEST(CodecCustomTest, ArraysOfTooManyElementsAreAnError) {
  const auto bytes = encode(Endless{});
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().hint,
            "an array of 4294967296, where MessagePack holds 4294967295 at most");
}

TEST(CodecCustomTest, AVariantWithoutAValueIsAnError) {
  using Either = std::variant<std::string, std::unique_ptr<int>, Colour>;
  Either either{"text"};
  EXPECT_THROW(either.emplace<Colour>(""), std::invalid_argument);
  ASSERT_TRUE(either.valueless_by_exception());
  EXPECT_EQ(encode(either).error().hint, "a variant without a value");
}

}  // namespace
}  // namespace tine::test
