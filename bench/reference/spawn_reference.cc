// SPDX-License-Identifier: MIT
/// Reference for "start and wait for a program": the bare system calls, from a parent of any size.
///
///   spawn_reference [--memory MIB] [--count N] [--rounds R] [--variants
///   vfork,clone3,posix_spawn,fork]
///                   PROGRAM [ARG...]
///
/// fork is measured only where --variants names it. PROGRAM may be a launcher too: that is how the
/// cost of one job through tine, xargs or make is measured.
#include "spawn_variants.h"

int main(int argc, char** argv) {
  bench::Options options = bench::parse(argc, argv);
  if (options.command.front() == nullptr) bench::fail("usage: spawn_reference [OPTIONS] PROGRAM");
  if (options.variants.empty()) options.variants = "vfork,clone3,posix_spawn";
  bench::measure(bare::spawn_variants(options.command.data()), options);
}
