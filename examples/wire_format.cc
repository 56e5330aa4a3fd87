// SPDX-License-Identifier: MIT

/// Values as bytes that another process, or a program in another language, can read; and what comes
/// of bytes that are not such a value.
///
/// Python:   msgpack.packb([7, "calibrate", [[0.5, 2.0]], {"lamp": "#ff8000"}, None])

#include <tine/tine.h>

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// A class with something to protect: its members cannot be seen from outside.
class Colour {
 public:
  explicit Colour(unsigned rgb) : rgb_(rgb) {}
  static std::optional<Colour> parse(const std::string& text) {
    unsigned rgb = 0;
    if (text.size() != 7 || std::sscanf(text.c_str(), "#%6x", &rgb) != 1) return std::nullopt;
    return Colour(rgb);
  }
  std::string to_string() const {
    char text[8];
    std::snprintf(text, sizeof text, "#%06x", rgb_ & 0xffffff);
    return text;
  }

 private:
  unsigned rgb_;
};

/// So it says itself how it travels: as a string.
template <>
struct tine::Codec<Colour> {
  static void encode(Encoder& encoder, const Colour& colour) { encoder.write(colour.to_string()); }
  static Colour decode(Decoder& decoder) {
    const auto colour = Colour::parse(decoder.read<std::string>());
    if (!colour) decoder.fail("expected a colour such as #ff8000");
    return *colour;
  }
};

/// These need nothing: their members are found by the library.
struct Point {
  double x;
  double y;
};
struct Job {
  int id;
  std::string name;
  std::vector<Point> points;
  std::map<std::string, Colour> colours;
  std::optional<int> rank;
};

namespace {

void print(const std::vector<std::byte>& bytes) {
  for (const std::byte byte : bytes) std::printf("%02x", std::to_integer<unsigned>(byte));
  std::printf("\n");
}

int fail(const tine::Error& error) {
  std::fprintf(stderr, "%s\n", error.to_string().c_str());
  return 1;
}

}  // namespace

int main() {
  const Job job{7, "calibrate", {{0.5, 2}}, {{"lamp", Colour(0xff8000)}}, {}};
  const auto bytes = tine::encode(job);
  if (!bytes) return fail(bytes.error());
  print(*bytes);

  const auto back = tine::decode<Job>(*bytes);
  if (!back) return fail(back.error());
  std::printf("%d, %s, x = %g, lamp %s, %s\n", back->id, back->name.c_str(), back->points[0].x,
              back->colours.at("lamp").to_string().c_str(), back->rank ? "ranked" : "no rank");

  // Whatever the bytes are, the answer is a value or an error that says where.
  auto broken = *bytes;
  broken[bytes->size() - 8] = std::byte{'?'};
  std::printf("%s\n", tine::decode<Job>(broken).error().to_string().c_str());
  broken.resize(20);
  std::printf("%s\n", tine::decode<Job>(broken).error().to_string().c_str());
  std::printf("%s\n", tine::decode<std::vector<int>>(*bytes).error().hint.c_str());
  return 0;
}
