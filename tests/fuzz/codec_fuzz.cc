// SPDX-License-Identifier: MIT

/// Decodes whatever bytes as values of representative types. What can be decoded has to be the same
/// after it was encoded and decoded once more; nothing else may happen than that or an Error.
///
/// The first byte chooses the type and the form, the rest is decoded. `codec_fuzz seed DIRECTORY`
/// writes the valid form of each there, for a start.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>

#include "tine/detail/codec_payload.h"
#include "work/codec_values.h"

namespace tine::test {
namespace {

/// A class that is not looked into, with a string and a condition.
class Word {
 public:
  Word() = default;
  explicit Word(std::string text) : text_(std::move(text)) {
    if (text_.size() > 100) throw std::length_error("a long word");
  }
  [[nodiscard]] const std::string& text() const { return text_; }
  auto operator<=>(const Word&) const = default;

 private:
  std::string text_;
};

/// What is deep by way of its own codec, so that no array tells how deep.
struct Onion {
  std::unique_ptr<Onion> inner;
};

/// All that is recursive at once.
struct Json {
  std::variant<std::monostate, bool, double, std::string, std::vector<Json>,
               std::map<std::string, Json>, std::unique_ptr<Json>>
      value;
};

struct Flags {
  int number = 0;
  bool yes = false;
  std::array<bool, 2> more{};
  bool operator==(const Flags&) const = default;
};

}  // namespace
}  // namespace tine::test

template <>
struct tine::Codec<tine::test::Word> {
  static void encode(Encoder& encoder, const test::Word& word) { encoder.write(word.text()); }
  static test::Word decode(Decoder& decoder) { return test::Word(decoder.read<std::string>()); }
};

template <>
struct tine::Codec<tine::test::Onion> {
  static void encode(Encoder& encoder, const test::Onion& onion) {
    encoder.write(onion.inner == nullptr ? 0 : 1, onion.inner);
  }
  static test::Onion decode(Decoder& decoder) {
    auto [number, inner] = decoder.read<int, std::unique_ptr<test::Onion>>();
    if ((number == 0) != (inner == nullptr)) decoder.fail("half an onion");
    return {std::move(inner)};
  }
};

namespace tine::test {
namespace {

using Bytes = std::span<const std::byte>;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

void check_error(const Error& error) {
  require(error.kind == ErrorKind::undecodable, "the error is of decoding");
  require(!error.to_string().empty(), "the error says something");
}

template <class T>
void try_message(Bytes bytes) {
  const auto value = decode<T>(bytes);
  if (!value) return check_error(value.error());
  auto once = encode(*value);
  require(once.has_value(), "what was decoded can be encoded");
  const auto again = decode<T>(*once);
  require(again.has_value(), "what was encoded can be decoded");
  auto twice = encode(*again);
  require(twice.has_value(), "it can be encoded again");
  // The same bytes, if in another order where there is an unordered container.
  std::ranges::sort(*once);
  std::ranges::sort(*twice);
  require(*twice == *once, "it is the same value");
}

template <class T>
void try_payload(Bytes bytes) {
  const auto value = detail::read_payload<T>(bytes);
  if (!value) return check_error(value.error());
  std::vector<std::byte> once;
  {
    detail::VectorSink sink{once};
    require(detail::write_payload(*value, sink).has_value(), "what was read can be written");
  }
  const auto again = detail::read_payload<T>(once);
  require(again.has_value(), "what was written can be read");
  if constexpr (requires { *again == *value; }) {
    // Unless there is a NaN in it.
    require(*again == *value || *value != *value, "it is the same value");
  }
}

template <class E>
void try_view(Bytes bytes) {
  const auto view = detail::view_payload<E>(bytes);
  if (!view) return check_error(view.error());
  unsigned sum = 0;
  for (const std::byte byte : std::as_bytes(*view)) sum += std::to_integer<unsigned>(byte);
  require(sum != 0xffffffff, "all of it is there");
}

using Try = void (*)(Bytes);
constexpr Try kTries[] = {
    try_message<Numbers>,
    try_message<Containers>,
    try_message<Sums>,
    try_message<Times>,
    try_message<Arrays>,
    try_message<Tree>,
    try_message<Link>,
    try_message<Job>,
    try_message<Json>,
    try_message<Onion>,
    try_message<std::vector<Word>>,
    try_message<std::map<std::string, std::vector<std::optional<Word>>>>,
    try_message<std::vector<std::vector<std::vector<Empty>>>>,
    try_message<std::unordered_set<std::string>>,
    try_message<std::tuple<std::string, std::vector<std::byte>, double, std::int64_t>>,
    try_payload<Numbers>,
    try_payload<std::vector<Flags>>,
    try_payload<std::vector<double>>,
    try_payload<std::string>,
    try_payload<Job>,
    try_view<std::uint64_t>,
    try_view<Flags>,
};

/// Json of each kind, nested.
Json some_json() {
  std::map<std::string, Json> map;
  map["a"].value = 1.5;
  map["b"].value = std::string("text");
  std::vector<Json> list(2);
  list[0].value = true;
  list[1].value = std::move(map);
  Json json;
  json.value = std::make_unique<Json>();
  std::get<std::unique_ptr<Json>>(json.value)->value = std::move(list);
  return json;
}

class Seeds {
 public:
  explicit Seeds(std::string directory) : directory_(std::move(directory)) {}

  template <class T>
  void message(int which, const T& value) {
    write(which, encode(value).value());
  }
  template <class T>
  void payload(int which, const T& value) {
    std::vector<std::byte> bytes;
    {
      detail::VectorSink sink{bytes};
      require(detail::write_payload(value, sink).has_value(), "a seed can be written");
    }
    write(which, bytes);
  }

 private:
  void write(int which, const std::vector<std::byte>& bytes) {
    std::ofstream file(directory_ + "/seed-" + std::to_string(which), std::ios::binary);
    file.put(static_cast<char>(which));
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  std::string directory_;
};

void write_seeds(const std::string& directory) {
  Seeds seeds{directory};
  seeds.message(0, some_numbers());
  seeds.message(1, some_containers());
  seeds.message(2, some_sums());
  seeds.message(3, some_times());
  seeds.message(4, some_arrays());
  seeds.message(5, some_tree());
  seeds.message(6, Link{1, std::make_unique<Link>(2, nullptr)});
  seeds.message(7, some_job());
  seeds.message(8, some_json());
  seeds.message(9, Onion{std::make_unique<Onion>(std::make_unique<Onion>())});
  seeds.message(10, std::vector{Word("a"), Word("b")});
  seeds.message(11, std::map<std::string, std::vector<std::optional<Word>>>{
                        {"a", {Word("b"), std::nullopt}}});
  seeds.message(12, std::vector<std::vector<std::vector<Empty>>>{{{{}, {}}, {}}, {}});
  seeds.message(13, std::unordered_set<std::string>{"a", "b"});
  seeds.message(14, std::tuple{std::string("a"), std::vector<std::byte>(3), 1.5, std::int64_t{-5}});
  seeds.payload(15, some_numbers());
  seeds.payload(16, std::vector<Flags>(2));
  seeds.payload(17, std::vector<double>{1, 2, 3});
  seeds.payload(18, std::string("text"));
  seeds.payload(19, some_job());
  seeds.payload(20, std::vector<std::uint64_t>{1, 2});
  seeds.payload(21, std::vector<Flags>(2));
}

}  // namespace
}  // namespace tine::test

/// Called by libFuzzer before everything else.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::strcmp((*argv)[1], "seed") == 0) {
    tine::test::write_seeds((*argv)[2]);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  tine::test::kTries[data[0] % std::size(tine::test::kTries)](bytes.subspan(1));
  return 0;
}
