// SPDX-License-Identifier: MIT

/// Many commands, a few at a time: GNU parallel as a function.
///
/// Shell:   parallel -k -j4 --retries 1 ./job ::: 1 2 3 4 5

#include <tine/tine.h>

#include <cstdio>
#include <string>

using namespace tine::literals;

namespace {

void ordered() {
  tine::Batch batch{{.timeout = 30s, .jobs = 4, .retries = 1, .ordered = true}};
  for (int i = 1; i <= 5; ++i) {
    batch.add({"sh", "-c", "echo job $0; test $0 != 3 || { echo no luck >&2; exit 1; }", i});
  }
  while (const auto outcome = batch.next()) {
    std::printf("%s", outcome->out.read().c_str());
    if (!outcome->result) std::printf("  %s\n", outcome->result.error().to_string().c_str());
  }
}

/// A million commands need no memory when they are made as slots become free.
void from_a_source() {
  int made = 0;
  tine::Batch batch{{.jobs = 2, .halt = {.when = tine::Halt::When::soon, .count = 3}},
                    [&made](tine::Batch::Job& job) {
                      job.command = {"false"};
                      job.name = "number " + std::to_string(++made);
                      return tine::Batch::Supply::job;
                    }};
  int failures = 0;
  while (const auto outcome = batch.next()) failures += outcome->result ? 0 : 1;
  std::printf("an endless source, halted: %d; at least three failures: %d\n", batch.halted(),
              failures >= 3);
}

}  // namespace

int main() {
  ordered();
  from_a_source();
  return 0;
}
