// SPDX-License-Identifier: MIT
#include <cstdio>
#include <limits>
// Before parse.hpp, which needs what it includes.
#include <msgpack/unpack.hpp>
//
#include <msgpack/null_visitor.hpp>
#include <msgpack/parse.hpp>

#include "tine/detail/codec_wire.h"
#include "work/wire_failure.h"

namespace tine::detail {

namespace {

enum class Kind : std::uint8_t {
  nil,
  boolean,
  natural,
  negative,
  real,
  string,
  binary,
  extension,
  array,
  map,
  cut,      ///< the bytes end before the item does
  invalid,  ///< the one byte that begins nothing
};

}  // namespace

struct WireReader::Item {
  Kind kind = Kind::cut;
  std::uint32_t size = 0;  ///< of strings, binary, extensions, arrays and maps
  union {
    std::uint64_t natural = 0;
    std::int64_t negative;
    double real;
    const char* bytes;
  };
  [[nodiscard]] std::string text() const;
};

/// Takes one item and, by refusing to begin the first element, no part of what is in it.
struct WireReader::ItemVisitor : msgpack::null_visitor {
  Item item{};

  bool visit_nil() { return is(Kind::nil); }
  bool visit_boolean(bool value) { return visit_natural(Kind::boolean, value ? 1 : 0); }
  bool visit_positive_integer(std::uint64_t value) { return visit_natural(Kind::natural, value); }
  bool visit_negative_integer(std::int64_t value) {  // also for those that only could be negative
    if (value >= 0) return visit_natural(Kind::natural, static_cast<std::uint64_t>(value));
    item.negative = value;
    return is(Kind::negative);
  }
  bool visit_float32(float value) { return visit_float64(static_cast<double>(value)); }
  bool visit_float64(double value) {
    item.real = value;
    return is(Kind::real);
  }
  bool visit_str(const char* bytes, std::uint32_t size) { return is(Kind::string, bytes, size); }
  bool visit_bin(const char* bytes, std::uint32_t size) { return is(Kind::binary, bytes, size); }
  bool visit_ext(const char* bytes, std::uint32_t size) { return is(Kind::extension, bytes, size); }
  bool start_array(std::uint32_t count) { return is(Kind::array, nullptr, count); }
  bool start_map(std::uint32_t count) { return is(Kind::map, nullptr, count); }
  bool start_array_item() { return false; }  // NOLINT: msgpack calls it on an object
  bool start_map_key() { return false; }     // NOLINT
  void parse_error(std::size_t, std::size_t) { is(Kind::invalid); }
  void insufficient_bytes(std::size_t, std::size_t) { is(Kind::cut); }

 private:
  bool is(Kind kind) {
    item.kind = kind;
    return true;
  }
  bool is(Kind kind, const char* bytes, std::uint32_t size) {
    item.bytes = bytes;
    item.size = size;
    return is(kind);
  }
  bool visit_natural(Kind kind, std::uint64_t value) {
    item.natural = value;
    return is(kind);
  }
};

std::string WireReader::Item::text() const {
  const std::string count = std::to_string(size);
  switch (kind) {
    case Kind::nil: return "nil";
    case Kind::boolean: return natural != 0 ? "true" : "false";
    case Kind::natural: return std::to_string(natural);
    case Kind::negative: return std::to_string(negative);
    case Kind::real: {
      char text[40];
      std::snprintf(text, sizeof text, "the real number %.17g", real);
      return text;
    }
    case Kind::string: return "a string of " + count + " bytes";
    case Kind::binary: return "binary of " + count + " bytes";
    case Kind::extension: return "an extension type";
    case Kind::array: return "an array of " + count;
    case Kind::map: return "a map of " + count;
    case Kind::cut: return "the end of the bytes";
    case Kind::invalid: return "the byte 0xc1, which begins nothing";
  }
  return {};
}

WireReader::Item WireReader::next() {
  if (owed_ == 0) fail("more is read than there should be");
  current_ = offset_;
  ItemVisitor visitor;
  std::size_t end = offset_;
  msgpack::parse(reinterpret_cast<const char*>(bytes_.data()), bytes_.size(), end, visitor);
  // What is cut or invalid is not passed: whatever is read next fails in the same way.
  if (visitor.item.kind == Kind::cut || visitor.item.kind == Kind::invalid) return visitor.item;
  offset_ = end;
  --owed_;
  return visitor.item;
}

void WireReader::nil() {
  const Item item = next();
  if (item.kind != Kind::nil) expected("nil", item);
}

bool WireReader::take_nil() {
  constexpr std::byte kNil{0xc0};
  const bool there = offset_ < bytes_.size() && bytes_[offset_] == kNil;
  if (there) nil();
  return there;
}

bool WireReader::boolean() {
  const Item item = next();
  if (item.kind != Kind::boolean) expected("true or false", item);
  return item.natural != 0;
}

std::int64_t WireReader::integer(std::int64_t least, std::int64_t most) {
  const Item item = next();
  if (item.kind == Kind::negative && item.negative >= least) return item.negative;
  if (item.kind == Kind::natural && item.natural <= static_cast<std::uint64_t>(most)) {
    return static_cast<std::int64_t>(item.natural);
  }
  expected("an integer from " + std::to_string(least) + " to " + std::to_string(most), item);
}

std::uint64_t WireReader::natural(std::uint64_t most) {
  const Item item = next();
  if (item.kind == Kind::natural && item.natural <= most) return item.natural;
  expected("an integer from 0 to " + std::to_string(most), item);
}

double WireReader::real() {
  const Item item = next();
  switch (item.kind) {
    case Kind::real: return item.real;
    case Kind::natural: return static_cast<double>(item.natural);
    case Kind::negative: return static_cast<double>(item.negative);
    default: expected("a number", item);
  }
}

std::string_view WireReader::string() {
  const Item item = next();
  if (item.kind != Kind::string) expected("a string", item);
  return {item.bytes, item.size};
}

std::span<const std::byte> WireReader::binary() {
  const Item item = next();
  if (item.kind != Kind::binary) expected("binary", item);
  return {reinterpret_cast<const std::byte*>(item.bytes), item.size};
}

std::size_t WireReader::array(std::size_t bytes_each) {
  const Item item = next();
  if (item.kind != Kind::array) expected("an array", item);
  begin(item.size, item.size, bytes_each, "an array");
  return item.size;
}

void WireReader::array_of(std::size_t count, std::size_t bytes_each) {
  const Item item = next();
  if (item.kind != Kind::array || item.size != count) {
    expected("an array of " + std::to_string(count), item);
  }
  begin(count, count, bytes_each, "an array");
}

std::size_t WireReader::map(std::size_t bytes_each) {
  const Item item = next();
  if (item.kind != Kind::map) expected("a map", item);
  begin(item.size, 2 * std::size_t{item.size}, bytes_each, "a map");
  return item.size;
}

void WireReader::begin(std::size_t count, std::size_t items, std::size_t bytes_each,
                       const char* what) {
  const std::size_t left = bytes_.size() - offset_;
  const std::size_t free = left - std::min<std::uint64_t>(left, owed_);
  if (count != 0 && bytes_each > free / count) {
    fail(std::string(what) + " of " + std::to_string(count) + " cannot be in the " +
         std::to_string(left) + " bytes that are left, with " + std::to_string(owed_) +
         " more items to come");
  }
  enter();
  owed_ += items;
}

void WireReader::enter() {
  if (path_.full()) fail("it is nested deeper than " + std::to_string(kMaxDepth));
  path_.down();
}

void WireReader::finish() {
  if (error_) throw work::WireFailure{};  // somebody has caught it on its way
  current_ = offset_;
  if (offset_ == bytes_.size()) return;
  fail(std::to_string(bytes_.size() - offset_) + " bytes follow the value");
}

void WireReader::expected(const std::string& what, const Item& found) {
  fail("expected " + what + ", found " + found.text());
}

void WireReader::fail(std::string_view why) {
  if (!error_) {
    std::string hint = work::place(path_);
    hint += (hint.empty() ? "at byte " : ", byte ") + std::to_string(current_) + ": ";
    hint += why;
    error_ = Error{ErrorKind::undecodable, 0, Stage::decode, std::string(type_), std::move(hint)};
  }
  throw work::WireFailure{};
}

Error WireReader::error_in_flight() {
  return work::error_in_flight(error_, [this](std::string_view why) { fail(why); });
}

}  // namespace tine::detail
