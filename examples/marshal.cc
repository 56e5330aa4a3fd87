// SPDX-License-Identifier: MIT

/// A structure as bytes and back: through a file, through a child, and into another language.
///
/// Python:  pickle.dump(catalogue, file)      # which only Python reads, and which runs whatever
///          pickle.load(file)                 # code the file says

#include <tine/tine.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

using tine::throwing::value;

namespace {

// Nothing is registered, derived from or written twice: the compiler knows the members.

struct Circle {
  double radius = 0;
  bool operator==(const Circle&) const = default;
};
struct Polygon {
  std::vector<std::pair<int, int>> corners;
  bool operator==(const Polygon&) const = default;
};
struct Part {
  std::string name;
  std::variant<Circle, Polygon> shape;
  std::optional<int> stock;
  bool operator==(const Part&) const = default;
};
struct Catalogue {
  std::string title;
  std::chrono::seconds valid{};
  std::map<std::string, std::vector<Part>> shelves;
  bool operator==(const Catalogue&) const = default;
};

Catalogue make() {
  const Part wheel{"wheel", Circle{0.25}, 4};
  const Part plate{"plate", Polygon{{{0, 0}, {3, 0}, {0, -2}}}, std::nullopt};
  return {"spare parts", std::chrono::hours{24}, {{"A", {wheel, plate}}, {"B", {}}}};
}

void write_file(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void to_a_file_and_back(const std::filesystem::path& path) {
  const Catalogue catalogue = make();
  write_file(path, value(tine::encode(catalogue)));
  const auto again = value(tine::decode<Catalogue>(read_file(path)));
  std::printf("from the file: %s\n", again == catalogue ? "the same" : "another");

  // Half a file is no catalogue, and says so.
  auto half = read_file(path);
  half.resize(half.size() / 2);
  const auto broken = tine::decode<Catalogue>(half);
  std::printf("from half of it: %s\n", broken ? "?" : broken.error().to_string().c_str());
}

void to_a_child_and_back() {
  const Catalogue catalogue = make();
  // The child has it by copy-on-write; what it gives back is encoded.
  const auto changed = value(tine::call([&] {
    Catalogue copy = catalogue;
    copy.shelves["A"][0].stock = 3;
    return copy;
  }));
  const auto same = changed.shelves.at("A")[1] == catalogue.shelves.at("A")[1];
  std::printf("from a child: %d wheels instead of %d, the plate is %s\n",
              *changed.shelves.at("A")[0].stock, *catalogue.shelves.at("A")[0].stock,
              same ? "the same" : "another");
}

constexpr const char* kScript = R"(
import sys
try:
    import msgpack
except ImportError:
    sys.exit("there is no python3-msgpack here")
with open(sys.argv[1], "rb") as file:
    title, valid, shelves = msgpack.unpackb(file.read())
print("title:", title)
print("valid:", valid, "s")
for shelf, parts in shelves.items():
    print("shelf", shelf, "with", len(parts), "parts")
    for name, (kind, shape), stock in parts:
        print(" ", name, ["circle", "polygon"][kind], shape, stock)
)";

void to_another_language(const std::filesystem::path& path) {
  const auto seen = tine::Command{"/usr/bin/python3", "-c", kScript, path.string()}.capture();
  if (seen) {
    std::printf("python3 sees:\n%s", seen->out.c_str());
  } else {
    std::printf("python3: skipped, %s\n", seen.error().to_string().c_str());
  }
}

}  // namespace

int main() try {
  std::string directory = (std::filesystem::temp_directory_path() / "marshal-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  const auto file = std::filesystem::path(directory) / "catalogue.msgpack";
  to_a_file_and_back(file);
  to_a_child_and_back();
  to_another_language(file);
  std::filesystem::remove_all(directory);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
