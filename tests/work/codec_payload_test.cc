// SPDX-License-Identifier: MIT
#include "tine/detail/codec_payload.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <string_view>

#include "work/codec_values.h"

namespace tine::test {
namespace {

using detail::PayloadHeader;
using detail::PayloadKind;

/// A payload in memory that is aligned as well as shared memory is.
class Payload {
 public:
  template <class T>
  explicit Payload(const T& value) {
    Bytes bytes;
    {
      detail::VectorSink sink{bytes};
      const auto done = detail::write_payload(value, sink);
      if (!done) throw std::runtime_error(done.error().to_string());
    }
    size_ = bytes.size();
    memory_.resize(size_ / sizeof(Line) + 2);
    std::memcpy(memory_.data(), bytes.data(), size_);
  }
  [[nodiscard]] std::span<std::byte> bytes() {
    return std::as_writable_bytes(std::span(memory_)).first(size_);
  }
  /// The same bytes, `by` further on.
  [[nodiscard]] std::span<std::byte> shifted(std::size_t by) {
    std::byte* const first = bytes().data();
    std::memmove(first + by, first, size_);
    return {first + by, size_};
  }
  void set_header(const PayloadHeader& header) {
    std::memcpy(bytes().data(), &header, sizeof header);
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory_;
  std::size_t size_ = 0;
};

template <class T>
std::expected<T, Error> through_payload(const T& value) {
  Payload payload{value};
  return detail::read_payload<T>(payload.bytes());
}

struct Flags {
  int number = 0;
  bool yes = false;
  std::array<bool, 2> more{};
  auto operator<=>(const Flags&) const = default;
};
struct Pixel {
  float rgb[3];
  Small small;
  std::byte byte;
  bool operator==(const Pixel&) const = default;
};
struct alignas(64) Wide {
  double values[8];
  bool operator==(const Wide&) const = default;
};
struct WithOptional {
  int number = 0;
  std::optional<int> maybe;
  bool operator==(const WithOptional&) const = default;
};
/// Trivially copyable, but not to be looked into.
class Closed {
 public:
  explicit Closed(int number = 0) : number_(number) {}
  bool operator==(const Closed&) const = default;
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};
struct HasClosed {
  Closed closed{};
  int number = 0;
};
/// Not to be made from nothing.
struct NoDefault {
  const int number;
  bool operator==(const NoDefault&) const = default;
};

}  // namespace
}  // namespace tine::test

template <>
struct tine::Codec<tine::test::Closed> {
  static void encode(Encoder& encoder, const test::Closed& closed) {
    encoder.write(closed.number());
  }
  static test::Closed decode(Decoder& decoder) { return test::Closed(decoder.read<int>()); }
};

namespace tine::test {
namespace {

static_assert(detail::travels_raw<int> && detail::travels_raw<double> && detail::travels_raw<bool>);
static_assert(detail::travels_raw<Small> && detail::travels_raw<std::byte>);
static_assert(detail::travels_raw<Numbers> && detail::travels_raw<Point>);
static_assert(detail::travels_raw<Pixel> && detail::travels_raw<Wide>);
static_assert(detail::travels_raw<std::array<Point, 3>> && detail::travels_raw<Empty>);
static_assert(detail::travels_raw<std::complex<double>>);
static_assert(detail::travels_raw<std::chrono::nanoseconds>);
static_assert(detail::travels_raw<std::chrono::system_clock::time_point>);
static_assert(!detail::travels_raw<std::string> && !detail::travels_raw<std::vector<int>>);
static_assert(!detail::travels_raw<std::optional<int>> && !detail::travels_raw<WithOptional>);
static_assert(!detail::travels_raw<std::variant<int, double>>);
static_assert(!detail::travels_raw<Closed> && !detail::travels_raw<HasClosed>);
static_assert(!detail::travels_raw<int*> && !detail::travels_raw<std::string_view>);
static_assert(!detail::travels_raw<Tree> && !detail::travels_raw<Link>);

template <class T>
constexpr PayloadKind kKind = detail::payload_kind<T>();
static_assert(kKind<Numbers> == PayloadKind::value);
static_assert(kKind<std::array<double, 3>> == PayloadKind::value);
static_assert(kKind<std::vector<double>> == PayloadKind::range);
static_assert(kKind<std::vector<Numbers>> == PayloadKind::range);
static_assert(kKind<std::string> == PayloadKind::range);
static_assert(kKind<std::vector<std::byte>> == PayloadKind::range);
static_assert(kKind<std::vector<bool>> == PayloadKind::message);
static_assert(kKind<std::vector<std::string>> == PayloadKind::message);
static_assert(kKind<std::vector<Closed>> == PayloadKind::message);
static_assert(kKind<std::pair<int, int>> == PayloadKind::message);

TEST(CodecPayloadTest, ValuesOfEveryKindComeBack) {
  EXPECT_EQ(through_payload(5), 5);
  EXPECT_EQ(through_payload(some_numbers()), some_numbers());
  EXPECT_EQ(through_payload(Flags{1, true, {true, false}}), (Flags{1, true, {true, false}}));
  EXPECT_EQ(through_payload(Pixel{{1, 2, 3}, Small::one, std::byte{4}}),
            (Pixel{{1, 2, 3}, Small::one, std::byte{4}}));
  EXPECT_EQ(through_payload(Wide{{1, 2}}), (Wide{{1, 2}}));
  EXPECT_EQ(through_payload(Flag::yes), Flag::yes);
  EXPECT_TRUE(through_payload(Empty{}));
  EXPECT_EQ(through_payload(NoDefault{5}), NoDefault{5});
  EXPECT_EQ(through_payload(std::vector<double>{}), std::vector<double>{});
  EXPECT_EQ(through_payload(std::vector{1.5, 2.5}), (std::vector{1.5, 2.5}));
  EXPECT_EQ(through_payload(std::vector{some_numbers()}), std::vector{some_numbers()});
  EXPECT_EQ(through_payload(std::vector(3, Flags{1, true, {}})),
            std::vector(3, Flags{1, true, {}}));
  EXPECT_EQ(through_payload(std::string("nul\0inside", 10)), std::string("nul\0inside", 10));
  EXPECT_EQ(through_payload(std::vector{true, false}), (std::vector{true, false}));
  EXPECT_EQ(through_payload(some_job()), some_job());
  EXPECT_EQ(through_payload(std::vector{Closed(1)}), std::vector{Closed(1)});
  EXPECT_EQ(through_payload(WithOptional{1, 2}), (WithOptional{1, 2}));
}

TEST(CodecPayloadTest, RangesAreViewedInPlaceAndAligned) {
  Payload payload{std::vector<double>{1, 2, 3}};
  const auto view = detail::view_payload<double>(payload.bytes());
  ASSERT_TRUE(view) << view.error().to_string();
  EXPECT_EQ(std::vector(view->begin(), view->end()), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(static_cast<const void*>(view->data()), payload.bytes().data() + 64);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view->data()) % 64, 0u);
  Payload wide{std::vector<Wide>(2, Wide{{1}})};
  EXPECT_EQ(detail::view_payload<Wide>(wide.bytes())->size(), 2u);
  Payload text{std::string("text")};
  const auto characters = detail::view_payload<char>(text.bytes());
  EXPECT_EQ(std::string_view(characters->data(), characters->size()), "text");
  Payload empty{std::vector<double>{}};
  EXPECT_TRUE(detail::view_payload<double>(empty.bytes())->empty());
}

TEST(CodecPayloadTest, PayloadsOutOfLineAreReadButNotViewed) {
  const std::vector<Wide> values(3, Wide{{1, 2, 3}});
  for (const std::size_t by : {1, 8, 63}) {
    Payload payload{values};
    const auto bytes = payload.shifted(by);
    EXPECT_EQ(detail::read_payload<std::vector<Wide>>(bytes), values);
    const auto view = detail::view_payload<Wide>(bytes);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().hint, "its elements are not aligned in memory");
  }
  Payload flags{std::vector(3, Flags{1, true, {}})};
  EXPECT_EQ(detail::read_payload<std::vector<Flags>>(flags.shifted(1))->size(), 3u);
}

template <class T>
void expect_refused(std::span<const std::byte> bytes, std::string_view why) {
  const auto value = detail::read_payload<T>(bytes);
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().kind, ErrorKind::undecodable);
  EXPECT_EQ(value.error().stage, Stage::decode);
  EXPECT_NE(value.error().hint.find(why), std::string::npos) << value.error().hint;
}

TEST(CodecPayloadTest, HeadersThatLieGiveUndecodable) {
  using Doubles = std::vector<double>;
  const PayloadHeader right{PayloadKind::range, {}, 8, 3};
  Payload payload{Doubles{1, 2, 3}};
  const auto with = [&](auto change) {
    PayloadHeader header = right;
    change(header);
    payload.set_header(header);
    return payload.bytes();
  };
  EXPECT_TRUE(detail::read_payload<Doubles>(with([](auto&) {})));
  const std::uint64_t lies[] = {0, 2, 4, 1u << 31, UINT64_MAX, UINT64_MAX / 8 + 1 + 3};
  for (const std::uint64_t count : lies) {
    expect_refused<Doubles>(with([&](auto& header) { header.count = count; }),
                            "elements of 8 bytes cannot be 24 bytes");
  }
  for (const std::uint64_t size : {0, 1, 4, 24}) {
    expect_refused<Doubles>(with([&](auto& header) { header.element_size = size; }),
                            "expected elements of 8 bytes, found elements of ");
  }
  expect_refused<Doubles>(with([](auto& header) { header.kind = PayloadKind::message; }),
                          "expected a range, found a message");
  expect_refused<Doubles>(with([](auto& header) { header.kind = PayloadKind{77}; }),
                          "expected a range, found no kind of payload");
  payload.set_header(right);
  expect_refused<std::vector<float>>(payload.bytes(), "expected elements of 4 bytes");
  expect_refused<double>(payload.bytes(), "expected a value, found a range");
  expect_refused<Job>(payload.bytes(), "expected a message, found a range");
  EXPECT_FALSE(detail::view_payload<float>(payload.bytes()));
}

TEST(CodecPayloadTest, EveryPrefixAndEveryByteMoreGivesUndecodable) {
  const auto try_all = []<class T>(const T& value) {
    Payload payload{value};
    const std::span<std::byte> whole = payload.bytes();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Bytes prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_FALSE(detail::read_payload<T>(prefix)) << detail::type_name<T>() << " " << size;
    }
    Bytes longer(whole.begin(), whole.end());
    longer.push_back(std::byte{0});
    ASSERT_FALSE(detail::read_payload<T>(longer));
  };
  try_all(5);
  try_all(some_numbers());
  try_all(std::vector<double>{1, 2, 3});
  try_all(std::string("text"));
  try_all(some_job());
}

TEST(CodecPayloadTest, BytesThatAreNoBoolGiveUndecodable) {
  constexpr std::string_view kWhy = "a bool that is neither 0 nor 1";
  const auto broken = []<class T>(const T& value, std::size_t at) {
    Payload payload{value};
    const auto bytes = payload.bytes();
    bytes[at] = std::byte{2};
    return Bytes(bytes.begin(), bytes.end());
  };
  constexpr std::size_t kValue = sizeof(PayloadHeader);
  expect_refused<bool>(broken(true, kValue), kWhy);
  expect_refused<Flag>(broken(Flag::yes, kValue), kWhy);
  for (const std::size_t member : {4, 5, 6}) {
    expect_refused<Flags>(broken(Flags{}, kValue + member), kWhy);
    const auto range = broken(std::vector<Flags>(2), 64 + sizeof(Flags) + member);
    expect_refused<std::vector<Flags>>(range, kWhy);
  }
  Payload flags{std::vector<Flags>(2)};
  EXPECT_TRUE(detail::view_payload<Flags>(flags.bytes()));
  flags.bytes()[64 + 4] = std::byte{2};
  EXPECT_EQ(detail::view_payload<Flags>(flags.bytes()).error().hint, kWhy);
}

TEST(CodecPayloadTest, RandomBytesGiveAnErrorOrAValue) {
  std::mt19937 random(11);
  const auto try_all = [&]<class T>(const T& value) {
    Payload payload{value};
    const std::span<std::byte> whole = payload.bytes();
    const Bytes right(whole.begin(), whole.end());
    for (int round = 0; round < 3000; ++round) {
      Bytes bytes = right;
      for (int change = 0; change < 3; ++change) {
        bytes[random() % bytes.size()] = static_cast<std::byte>(random());
      }
      const auto read = detail::read_payload<T>(bytes);
      ASSERT_TRUE(read || read.error().kind == ErrorKind::undecodable);
    }
  };
  try_all(some_numbers());
  try_all(std::vector<Flags>(3));
  try_all(some_job());
}

TEST(CodecPayloadTest, ASinkThatIsFullIsAnError) {
  class Full final : public detail::ByteSink {
    bool grow(std::size_t) override {
      set_errno(ENOMEM);
      return false;
    }
  };
  for (const auto& done : {[] {
                             Full sink;
                             return detail::write_payload(5, sink);
                           }(),
                           [] {
                             Full sink;
                             return detail::write_payload(std::string(), sink);
                           }(),
                           [] {
                             Full sink;
                             return detail::write_payload(some_job(), sink);
                           }()}) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, ErrorKind::out_of_memory);
    EXPECT_EQ(done.error().stage, Stage::encode);
  }
}

/// Memory that is there when it is touched, and zero until then; in large pages, where there are
/// some, because touching gigabytes of small ones takes seconds.
std::byte* map_lazily(std::size_t size) {
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  ::madvise(at, size, MADV_HUGEPAGE);
  return static_cast<std::byte*>(at);
}

/// One mapping of `size` bytes, from which a payload takes what it needs.
class MappedSink final : public detail::ByteSink {
 public:
  explicit MappedSink(std::size_t size) : begin_(map_lazily(size)), size_(size) {
    window(begin_, begin_ + size);
  }
  ~MappedSink() override { ::munmap(begin_, size_); }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {begin_, static_cast<std::size_t>(next() - begin_)};
  }

 private:
  bool grow(std::size_t) override { return false; }
  std::byte* begin_;
  std::size_t size_;
};

template <class T>
struct LazyAllocator {
  using value_type = T;
  T* allocate(std::size_t count) { return reinterpret_cast<T*>(map_lazily(count * sizeof(T))); }
  void deallocate(T* at, std::size_t count) { ::munmap(at, count * sizeof(T)); }
  template <class U>
  void construct(U*) {}
  bool operator==(const LazyAllocator&) const = default;
};
struct Page {
  std::uint64_t words[512];
};

TEST(CodecPayloadSlowTest, RangesAboveFourGibibytesComeBack) {
  constexpr std::size_t kCount = (std::size_t{1} << 20) + 3;
  std::vector<Page, LazyAllocator<Page>> pages(kCount);
  pages[0].words[0] = 1;
  pages[kCount / 2].words[7] = 2;
  pages[kCount - 1].words[511] = 3;
  MappedSink sink{kCount * sizeof(Page) + 4096};
  ASSERT_TRUE(detail::write_payload(pages, sink));
  EXPECT_EQ(sink.bytes().size(), kCount * sizeof(Page) + 64);
  const auto view = detail::view_payload<Page>(sink.bytes());
  ASSERT_TRUE(view) << view.error().to_string();
  ASSERT_EQ(view->size(), kCount);
  EXPECT_EQ((*view)[0].words[0], 1u);
  EXPECT_EQ((*view)[kCount / 2].words[7], 2u);
  EXPECT_EQ((*view)[kCount - 1].words[511], 3u);
}

}  // namespace
}  // namespace tine::test
