// SPDX-License-Identifier: MIT
#include <bit>
#include <cstring>
#include <limits>
#include <msgpack/pack.hpp>

#include "os/system_error.h"
#include "tine/detail/codec_wire.h"
#include "work/wire_failure.h"

namespace tine::detail {

/// What msgpack's packer writes into.
struct PackerStream {
  WireWriter* wire;
  void write(const char* bytes, std::size_t size) {
    wire->put(bytes, size);
  }  // NOLINT: not const for msgpack
};

namespace {

class Packer {
 public:
  explicit Packer(WireWriter& wire) : stream_{&wire}, packer_(stream_) {}
  msgpack::packer<PackerStream>* operator->() { return &packer_; }

 private:
  PackerStream stream_;
  msgpack::packer<PackerStream> packer_;
};

/// A byte that tells the form, and the number with its highest byte first.
template <unsigned char kForm, class Number>
struct BigEndian {
  unsigned char bytes[1 + sizeof(Number)] = {kForm};
  explicit BigEndian(Number number) {
    for (std::size_t i = sizeof number; i > 0; --i, number >>= 8) {
      bytes[i] = static_cast<unsigned char>(number);
    }
  }
};

}  // namespace

void WireWriter::nil() {
  --owed_;
  Packer(*this)->pack_nil();
}

void WireWriter::boolean(bool value) {
  --owed_;
  value ? Packer(*this)->pack_true() : Packer(*this)->pack_false();
}

void WireWriter::integer(std::int64_t value) {
  --owed_;
  Packer(*this)->pack_int64(value);
}

void WireWriter::natural(std::uint64_t value) {
  --owed_;
  Packer(*this)->pack_uint64(value);
}

// Not by the packer, which makes an integer of a whole number: a reader in another language would
// get another type, and -0.0 would lose its sign.
void WireWriter::real(float value) {
  --owed_;
  const BigEndian<0xca, std::uint32_t> form{std::bit_cast<std::uint32_t>(value)};
  put(form.bytes, sizeof form.bytes);
}

void WireWriter::real(double value) {
  --owed_;
  const BigEndian<0xcb, std::uint64_t> form{std::bit_cast<std::uint64_t>(value)};
  put(form.bytes, sizeof form.bytes);
}

void WireWriter::string(std::string_view value) {
  --owed_;
  Packer(*this)->pack_str(size32(value.size(), "a string", " bytes"));
  put(value.data(), value.size());
}

void WireWriter::binary(std::span<const std::byte> value) {
  --owed_;
  Packer(*this)->pack_bin(size32(value.size(), "binary", " bytes"));
  put(value.data(), value.size());
}

void WireWriter::array(std::size_t count) {
  Packer(*this)->pack_array(size32(count, "an array", ""));
  enter();
  owed_ += count - 1;
}

void WireWriter::map(std::size_t count) {
  Packer(*this)->pack_map(size32(count, "a map", ""));
  enter();
  owed_ += 2 * count - 1;
}

void WireWriter::enter() {
  if (path_.full()) fail("it is nested deeper than " + std::to_string(kMaxDepth));
  path_.down();
}

void WireWriter::put(const void* bytes, std::size_t size) {
  if (size == 0) return;
  if (sink_ == nullptr) {
    counted_ += size;
    return;
  }
  std::byte* const to = sink_->extend(size);
  if (to == nullptr) refused();
  std::memcpy(to, bytes, size);
}

std::uint32_t WireWriter::size32(std::size_t size, const char* what, const char* of_what) {
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (size > kMost) {
    fail(std::string(what) + " of " + std::to_string(size) + of_what +
         ", where MessagePack holds " + std::to_string(kMost) + " at most");
  }
  return static_cast<std::uint32_t>(size);
}

void WireWriter::refused() {
  if (!error_) error_ = os::make_error(Stage::encode, sink_->errno_value(), std::string(type_));
  throw work::WireFailure{};
}

void WireWriter::fail(std::string_view why) {
  if (!error_) {
    std::string hint = work::place(path_);
    if (!hint.empty()) hint += ": ";
    hint += why;
    error_ = Error{ErrorKind::unencodable, 0, Stage::encode, std::string(type_), std::move(hint)};
  }
  throw work::WireFailure{};
}

Error WireWriter::error_in_flight() {
  return work::error_in_flight(error_, [this](std::string_view why) { fail(why); });
}

}  // namespace tine::detail
