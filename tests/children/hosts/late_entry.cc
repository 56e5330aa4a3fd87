// SPDX-License-Identifier: MIT

// late_entry: a program that refuses arguments before it calls worker_main(), so that no worker of
// it ever begins: prints what becomes of a call and of a task of a pool by spawn.

#include <cstdio>

#include "tine/tine.h"

namespace {

int twice(int n) { return 2 * n; }

void print(const char* what, const tine::Result<int>& result) {
  std::printf("%s: %s\n", what,
              result ? std::to_string(*result).c_str() : result.error().to_string().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return 64;
  if (auto code = tine::worker_main(argc, argv)) return *code;
  print("call", tine::call({.start = tine::StartMethod::spawn}, twice, 21));
  tine::Pool pool{{.workers = 1, .start = tine::StartMethod::spawn}};
  print("task", pool.submit(twice, 21).get());
}
