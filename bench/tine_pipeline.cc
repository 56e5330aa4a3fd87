// SPDX-License-Identifier: MIT
/// Pipelines of three through tine, beside bare vfork and shells in one process.
///
///   tine_pipeline [--count N] [--rounds R] [--size SIZE] [--variants vfork,tine,bash,...]
///
/// Without --size it is `true | true | true`, with one `head -c SIZE /dev/zero | cat | wc -c`.
#include <tine/tine.h>

#include "reference/pipeline_variants.h"

namespace {

void three_times_true() {
  const tine::Command step{bare::kTrue};
  const auto finished = (step | step | step).run();
  if (!finished) bench::fail(finished.error().to_string());
}

void head_cat_wc(const std::string& size) {
  const tine::Command head{"/usr/bin/head", "-c", size, "/dev/zero"};
  const auto count = (head | tine::Command{"/bin/cat"} | tine::Command{"/usr/bin/wc", "-c"}).read();
  if (!count) bench::fail(count.error().to_string());
  bare::expect_count(*count, size);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  auto variants = bare::pipeline_variants(options.size);
  variants.push_back(
      {"tine", [&] { options.size.empty() ? three_times_true() : head_cat_wc(options.size); }});
  bench::measure(variants, options);
}
