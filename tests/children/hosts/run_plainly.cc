// SPDX-License-Identifier: MIT

// run_plainly WORD...: runs WORD... with everything inherited, then prints how that ended.

#include <cstdio>

#include "tine/tine.h"

int main(int argc, char** argv) {
  const auto result = tine::Command::of({argv + 1, argv + argc}).unchecked().run();
  std::puts((result ? result->status.to_string() : result.error().to_string()).c_str());
}
