// SPDX-License-Identifier: MIT
/// Reference for pipelines of three stages: bare vfork, with bash and dash beside it.
///
///   pipeline_reference [--count N] [--rounds R] [--size SIZE] [--variants vfork,bash,dash,builtin]
///
/// Without --size it is `true | true | true`, with one `head -c SIZE /dev/zero | cat | wc -c`.
#include "pipeline_variants.h"

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  bench::measure(bare::pipeline_variants(options.size), options);
}
