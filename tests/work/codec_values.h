// SPDX-License-Identifier: MIT
#pragma once

/// Types that travel, one of each kind, for the tests of the codec and for its fuzzer.

#include <array>
#include <chrono>
#include <compare>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "tine/codec.h"

namespace tine::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::string_view hexadecimal) {
  Bytes bytes;
  for (std::size_t i = 0; i < hexadecimal.size(); i += 2) {
    bytes.push_back(
        static_cast<std::byte>(std::stoi(std::string(hexadecimal.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

template <class T>
std::expected<T, Error> there_and_back(const T& value) {
  const auto bytes = encode(value);
  if (!bytes) return std::unexpected(bytes.error());
  return decode<T>(*bytes);
}

enum class Small : std::int8_t { minus = -1, zero, one };
enum class Flag : bool { no, yes };
enum Plain : int { plain_a, plain_b = 300 };

struct Point {
  double x = 0;
  double y = 0;
  auto operator<=>(const Point&) const = default;
};

struct Empty {
  auto operator<=>(const Empty&) const = default;
};

/// One of each kind of number.
struct Numbers {
  std::int8_t i8 = 0;
  std::int16_t i16 = 0;
  std::int32_t i32 = 0;
  std::int64_t i64 = 0;
  std::uint8_t u8 = 0;
  std::uint16_t u16 = 0;
  std::uint32_t u32 = 0;
  std::uint64_t u64 = 0;
  bool yes = false;
  char letter = 0;
  float f32 = 0;
  double f64 = 0;
  Small small = Small::zero;
  Plain plain = plain_a;
  auto operator<=>(const Numbers&) const = default;
};

/// One of each kind of container.
struct Containers {
  std::vector<int> vector;
  std::vector<bool> bits;
  std::vector<std::byte> bytes;
  std::deque<std::string> deque;
  std::list<Point> list;
  std::array<short, 3> array{};
  std::set<std::string> set;
  std::map<std::string, std::vector<int>> map;
  std::unordered_map<int, std::string> unordered_map;
  std::unordered_set<std::uint64_t> unordered_set;
  bool operator==(const Containers&) const = default;
};

/// What is one of several things.
struct Sums {
  std::optional<int> maybe;
  std::optional<std::optional<std::string>> perhaps;
  std::variant<std::monostate, int, std::string, Point> one_of;
  std::expected<int, std::string> expected;
  std::expected<void, Small> done;
  std::pair<int, std::string> pair;
  std::tuple<bool, double, std::tuple<>> tuple;
  bool operator==(const Sums& other) const {  // g++ 12 has no == for expected<void>
    return maybe == other.maybe && perhaps == other.perhaps && one_of == other.one_of &&
           expected == other.expected && done.has_value() == other.done.has_value() &&
           (done || done.error() == other.done.error()) && pair == other.pair &&
           tuple == other.tuple;
  }
};

struct Times {
  std::chrono::nanoseconds nanoseconds{};
  std::chrono::duration<double> seconds{};
  std::chrono::system_clock::time_point point{};
  std::filesystem::path path;
  std::complex<float> complex;
  bool operator==(const Times&) const = default;
};

/// A tree, by value and by pointer.
struct Tree {
  int value = 0;
  std::vector<Tree> children;
  bool operator==(const Tree&) const = default;
};
struct Link {
  int value = 0;
  std::unique_ptr<Link> next;
  bool operator==(const Link& other) const {
    return value == other.value && (next == nullptr) == (other.next == nullptr) &&
           (next == nullptr || *next == *other.next);
  }
};

struct Arrays {
  int row[3] = {};
  char name[8] = {};
  std::string words[2][2] = {};
  std::byte raw[4] = {};
  Point last{};
  bool operator==(const Arrays&) const = default;
};

/// Within each other.
struct Job {
  std::string name;
  Numbers numbers;
  std::vector<Point> points;
  std::map<std::string, Sums> sums;
  Empty empty;
  Arrays arrays;
  bool operator==(const Job&) const = default;
};

inline Numbers some_numbers() {
  return {.i8 = -128,
          .i16 = -32768,
          .i32 = -2147483647 - 1,
          .i64 = INT64_MIN,
          .u8 = 255,
          .u16 = 65535,
          .u32 = 4294967295,
          .u64 = UINT64_MAX,
          .yes = true,
          .letter = 'x',
          .f32 = 1.5F,
          .f64 = -2.25,
          .small = Small::minus,
          .plain = plain_b};
}

inline Containers some_containers() {
  return {.vector = {1, -2, 300000},
          .bits = {true, false, true},
          .bytes = {std::byte{0}, std::byte{0xff}},
          .deque = {"a", "", std::string("nul\0inside", 10)},
          .list = {{1, 2}, {3, 4}},
          .array = {7, 8, 9},
          .set = {"p", "q"},
          .map = {{"one", {1}}, {"none", {}}},
          .unordered_map = {{1, "x"}, {2, "y"}},
          .unordered_set = {5, 6, 7}};
}

inline Sums some_sums() {
  return {.maybe = 5,
          .perhaps = std::optional<std::string>{},
          .one_of = Point{1, 2},
          .expected = std::unexpected("why"),
          .done = std::unexpected(Small::one),
          .pair = {1, "one"},
          .tuple = {true, 0.5, {}}};
}

inline Times some_times() {
  return {.nanoseconds = std::chrono::nanoseconds(-1),
          .seconds = std::chrono::duration<double>(0.25),
          .point = std::chrono::system_clock::time_point(std::chrono::hours(1)),
          .path = "/tmp/a b",
          .complex = {1, -1}};
}

inline Arrays some_arrays() {
  return {.row = {1, 2, 3},
          .name = "seven",
          .words = {{"a", "b"}, {"c", ""}},
          .raw = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}},
          .last = {5, 6}};
}

inline Tree some_tree() { return {1, {{2, {}}, {3, {{4, {}}}}}}; }

inline Job some_job() {
  return {.name = "job",
          .numbers = some_numbers(),
          .points = {{1, 2}, {3, 4}},
          .sums = {{"a", some_sums()}, {"b", {}}},
          .empty = {},
          .arrays = some_arrays()};
}

}  // namespace tine::test
