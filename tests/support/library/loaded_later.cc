// SPDX-License-Identifier: MIT

// A library that a test loads after the processes that are to run its code have begun.

#include <stdexcept>

namespace {
int calls = 0;
}

extern "C" int add_in_library(int a, int b) {
  ++calls;
  if (b == 0) throw std::invalid_argument("thrown in the library");
  return a + b + 100 * calls;
}
