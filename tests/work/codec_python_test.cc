// SPDX-License-Identifier: MIT
#include "support/clean_process_test.h"
#include "tine/command.h"
#include "work/codec_values.h"

namespace tine::test {
namespace {

/// Another language's MessagePack (python3-msgpack) at the other end of a pipe.
struct CodecPythonTest : CleanProcessTest {
  static std::string python(const std::string& program, std::string_view input = {}) {
    // Not the first one in PATH: the package belongs to the system's.
    const auto out = Command{"/usr/bin/python3", "-c", "import sys, msgpack\n" + program}
                         .input(std::string(input))
                         .capture();
    EXPECT_TRUE(out) << out.error().to_string();
    return out ? out->out : std::string();
  }
};

template <class T>
std::string text_of(const T& value) {
  const auto bytes = encode(value);
  EXPECT_TRUE(bytes) << bytes.error().to_string();
  return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}

template <class T>
std::expected<T, Error> value_of(const std::string& text) {
  return decode<T>(std::as_bytes(std::span(text)));
}

constexpr const char* kPrint =
    "value = msgpack.unpackb(sys.stdin.buffer.read(), strict_map_key=False)\n"
    "print(value)\n";
constexpr const char* kBack =
    "value = msgpack.unpackb(sys.stdin.buffer.read(), strict_map_key=False)\n"
    "sys.stdout.buffer.write(msgpack.packb(value))\n";

TEST_F(CodecPythonTest, PythonReadsWhatIsWritten) {
  EXPECT_EQ(python(kPrint, text_of(some_numbers())),
            "[-128, -32768, -2147483648, -9223372036854775808, 255, 65535, 4294967295, "
            "18446744073709551615, True, 120, 1.5, -2.25, -1, 300]\n");
  EXPECT_EQ(
      python(kPrint, text_of(some_sums())),
      "[5, [None], [3, [1.0, 2.0]], [False, 'why'], [False, 1], [1, 'one'], [True, 0.5, []]]\n");
  EXPECT_EQ(python(kPrint, text_of(some_arrays())),
            "[[1, 2, 3], [115, 101, 118, 101, 110, 0, 0, 0], [['a', 'b'], ['c', '']], "
            "b'\\x01\\x02\\x03\\x04', [5.0, 6.0]]\n");
  EXPECT_EQ(python(kPrint, text_of(some_tree())), "[1, [[2, []], [3, [[4, []]]]]]\n");
  EXPECT_EQ(python(kPrint, text_of(std::map<std::string, Point>{{"a", {1, 2}}})),
            "{'a': [1.0, 2.0]}\n");
}

TEST_F(CodecPythonTest, WhatPythonWritesIsRead) {
  const std::string out = python(
      "sys.stdout.buffer.write(msgpack.packb([[1, -2, 300000], [True, False, True], "
      "b'\\x00\\xff',\n"
      "  ['a', '', 'nul\\0inside'], [[1, 2.0], [3, 4.0]], [7, 8, 9], ['q', 'p'],\n"
      "  {'one': [1], 'none': []}, {1: 'x', 2: 'y'}, [5, 6, 7]]))\n");
  const auto value = value_of<Containers>(out);
  ASSERT_TRUE(value) << value.error().to_string();
  EXPECT_EQ(*value, some_containers());
}

TEST_F(CodecPythonTest, WhatPythonReadsAndWritesAgainComesBack) {
  EXPECT_EQ(value_of<Job>(python(kBack, text_of(some_job()))).value(), some_job());
  EXPECT_EQ(value_of<Containers>(python(kBack, text_of(some_containers()))).value(),
            some_containers());
  // Byte for byte, where there are no floats, which Python has none of.
  const auto many = std::map<std::string, std::vector<int>>{
      {"", {}},
      {"x", {0, 127, 128, 255, 256, 65535, 65536, -1, -32, -33, -129, -32769}},
      {std::string(300, 'y'), std::vector<int>(70000, 1)}};
  EXPECT_EQ(python(kBack, text_of(many)), text_of(many));
}

TEST_F(CodecPythonTest, WhatPythonWritesWronglyIsRefused) {
  const auto value = value_of<std::vector<Point>>(
      python("sys.stdout.buffer.write(msgpack.packb([[1.0, 2.0], [3.0, 'four']]))\n"));
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().hint, "at [1].1, byte 30: expected a number, found a string of 4 bytes");
}

}  // namespace
}  // namespace tine::test
