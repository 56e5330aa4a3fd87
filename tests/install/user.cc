// SPDX-License-Identifier: MIT
#include <tine/tine.h>

#include <iostream>

int main() {
  const auto said = tine::read({"echo", "hello from a child"});
  if (!said) return 1;
  std::cout << *said << '\n';
}
