// SPDX-License-Identifier: MIT
#pragma once

/// MessagePack item by item: what every codec is written in. Not part of the interface; it may
/// change in any release.
///
/// Both ends leave by an exception that encode() and decode() catch and make an Error of; it never
/// gets out of them. Both know where in the value they are, for that Error, and refuse to go deeper
/// than kMaxDepth.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tine/detail/byte_sink.h"
#include "tine/error.h"

namespace tine::detail {

/// Arrays and maps within each other, in what is written as in what is read.
constexpr unsigned kMaxDepth = 128;

/// What kind of step leads from a value to a part of it.
enum class Step : std::uint8_t { member, element, key, mapped, codec };

/// From the outermost value to the current one: `.2[3].0`, members and elements by their index.
class WirePath {
 public:
  WirePath() noexcept {}  // NOLINT: the steps stay as they are until they are taken
  [[nodiscard]] bool full() const noexcept { return depth_ == kMaxDepth; }
  void down() noexcept { steps_[depth_++] = {0, Step::codec}; }
  void up() noexcept { --depth_; }
  void at(Step step, std::size_t index) noexcept { steps_[depth_ - 1] = {index, step}; }
  [[nodiscard]] std::string text() const;

 private:
  struct Place {
    std::size_t index;
    Step step;
  };
  Place steps_[kMaxDepth];
  unsigned depth_ = 0;
};

/// Writes items. An array(n) is followed by n items, a map(n) by 2n, and either by leave().
class WireWriter {
 public:
  /// With no sink nothing is written but counted.
  WireWriter(ByteSink* sink, std::string_view type) noexcept : sink_(sink), type_(type) {}
  WireWriter(const WireWriter&) = delete;
  WireWriter& operator=(const WireWriter&) = delete;
  ~WireWriter() = default;

  void nil();
  void boolean(bool value);
  void integer(std::int64_t value);
  void natural(std::uint64_t value);
  void real(float value);
  void real(double value);
  void string(std::string_view value);
  void binary(std::span<const std::byte> value);
  void array(std::size_t count);
  void map(std::size_t count);
  void leave() noexcept { path_.up(); }
  void at(Step step, std::size_t index) noexcept { path_.at(step, index); }

  /// Calls `codec`, which is not ours and has to write one item.
  template <class Codec>
  void one(const Codec& codec) {
    enter();
    const std::uint64_t before = owed_;
    codec();
    if (owed_ + 1 != before) fail("a Codec has to write exactly one value");
    leave();
  }

  [[nodiscard]] std::uint64_t counted() const noexcept { return counted_; }

  [[noreturn]] void fail(std::string_view why);
  /// What the current exception means. Those that mean nothing to us go on.
  [[nodiscard]] Error error_in_flight();

 private:
  friend struct PackerStream;
  void enter();
  void put(const void* bytes, std::size_t size);
  std::uint32_t size32(std::size_t size, const char* what, const char* of_what);
  [[noreturn]] void refused();

  ByteSink* sink_;
  std::string_view type_;
  std::uint64_t counted_ = 0;
  std::uint64_t owed_ = 1;  ///< items that the arrays and maps begun so far have still to get
  std::optional<Error> error_;
  WirePath path_;
};

/// Reads items from bytes that may be anything. What is not as expected ends the reading.
class WireReader {
 public:
  WireReader(std::span<const std::byte> bytes, std::string_view type) noexcept
      : bytes_(bytes), type_(type) {}
  WireReader(const WireReader&) = delete;
  WireReader& operator=(const WireReader&) = delete;
  ~WireReader() = default;

  void nil();
  /// Whether the next item is nil, which is then read.
  [[nodiscard]] bool take_nil();
  [[nodiscard]] bool boolean();
  [[nodiscard]] std::int64_t integer(std::int64_t least, std::int64_t most);
  [[nodiscard]] std::uint64_t natural(std::uint64_t most);
  /// Integers are taken too: other languages have one kind of number.
  [[nodiscard]] double real();
  /// In place: the bytes are those of the message.
  [[nodiscard]] std::string_view string();
  [[nodiscard]] std::span<const std::byte> binary();

  /// How many items follow. Each has at least `bytes_each` bytes; what cannot be in the bytes that
  /// are left is refused here, so what is allocated next is bounded by them.
  [[nodiscard]] std::size_t array(std::size_t bytes_each);
  /// The same with the one count that will do.
  void array_of(std::size_t count, std::size_t bytes_each);
  /// How many pairs follow.
  [[nodiscard]] std::size_t map(std::size_t bytes_each);
  void leave() noexcept { path_.up(); }
  void at(Step step, std::size_t index) noexcept { path_.at(step, index); }

  /// Calls `codec`, which is not ours and has to read one item.
  template <class Codec>
  auto one(const Codec& codec) {
    enter();
    const std::uint64_t before = owed_;
    auto value = codec();
    if (owed_ + 1 != before) fail("a Codec has to read exactly one value");
    leave();
    return value;
  }

  /// After the value: nothing else may follow.
  void finish();

  [[noreturn]] void fail(std::string_view why);
  /// What the current exception means. Those that mean nothing to us go on.
  [[nodiscard]] Error error_in_flight();

 private:
  struct Item;
  struct ItemVisitor;
  Item next();
  [[noreturn]] void expected(const std::string& what, const Item& found);
  void begin(std::size_t count, std::size_t items, std::size_t bytes_each, const char* what);
  void enter();

  std::span<const std::byte> bytes_;
  std::string_view type_;
  std::size_t offset_ = 0;   ///< of the next item
  std::size_t current_ = 0;  ///< of the item that was read last, for errors
  std::uint64_t owed_ = 1;   ///< items that the arrays and maps begun so far have still to give
  std::optional<Error> error_;
  WirePath path_;
};

}  // namespace tine::detail
