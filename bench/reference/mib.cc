// SPDX-License-Identifier: MIT
/// Prints 1 MiB of fixed text, 16,384 lines of 63 letters, in 16 writes and without libc: the job
/// of the rows about grouped output, where making the text must not dominate.
#include "no_libc.h"

namespace {

struct Text {
  char bytes[64 * 1024];
};

constexpr Text make_text() {
  Text text{};
  for (int i = 0; i < static_cast<int>(sizeof text.bytes); ++i) {
    const int column = i % 64;
    text.bytes[i] = column == 63 ? '\n' : static_cast<char>('a' + column % 26);
  }
  return text;
}

constexpr Text kText = make_text();

void print(const char* from, long size) {
  while (size > 0) {
    const long written = no_libc::call(no_libc::kWrite, 1, reinterpret_cast<long>(from), size);
    if (written <= 0) no_libc::exit(1);
    from += written;
    size -= written;
  }
}

}  // namespace

extern "C" [[noreturn]] void _start() {
  for (int i = 0; i < 16; ++i) print(kText.bytes, sizeof kText.bytes);
  no_libc::exit(0);
}
