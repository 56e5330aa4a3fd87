// SPDX-License-Identifier: MIT
/// Starting and waiting for a program through tine, beside the bare system calls in one process.
///
///   tine_spawn [--memory MIB] [--count N] [--rounds R] [--variants vfork,tine,...] PROGRAM
#include <tine/tine.h>

#include "reference/spawn_variants.h"

namespace {

void run(const std::string& program) {
  const auto finished = tine::Command{program}.run();
  if (!finished) bench::fail(finished.error().to_string());
}

void start_and_wait(const std::string& program) {
  auto child = tine::Command{program}.start();
  if (!child) bench::fail(child.error().to_string());
  const auto finished = child->wait();
  if (!finished) bench::fail(finished.error().to_string());
}

}  // namespace

int main(int argc, char** argv) {
  bench::Options options = bench::parse(argc, argv);
  if (options.command.front() == nullptr) bench::fail("usage: tine_spawn [OPTIONS] PROGRAM");
  if (options.variants.empty()) options.variants = "vfork,clone3,posix_spawn,tine,tine_start";
  const std::string program = options.command.front();
  auto variants = bare::spawn_variants(options.command.data());
  variants.push_back({"tine", [&] { run(program); }});
  variants.push_back({"tine_start", [&] { start_and_wait(program); }});
  bench::measure(variants, options);
}
