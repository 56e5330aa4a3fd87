// SPDX-License-Identifier: MIT

/// One command after another: until one fails, or until one succeeds. Every status is kept.
///
/// Shell:   true && sh -c 'exit 2' && echo never; echo $?
///          sh -c 'exit 1' || true || echo never

#include <tine/tine.h>

#include <cstdio>
#include <string>

namespace {

std::string how(const tine::SeriesStep& step) {
  if (step.skipped()) return "skipped";
  const auto& outcome = *step.outcome;
  if (outcome) return outcome->status.to_string();
  return outcome.error().status ? outcome.error().status->to_string() : outcome.error().to_string();
}

void show(const char* title, const tine::Series& series) {
  const tine::SeriesOutcome outcome = series.run_all();
  std::printf("%s: %s\n", title, outcome.success ? "success" : "failure");
  for (std::size_t i = 0; i < outcome.steps.size(); ++i) {
    const auto& step = outcome.steps[i];
    std::printf("  %s%s: %s\n", step.name.c_str(), outcome.decided_by == i ? " (decides)" : "",
                how(step).c_str());
  }
}

}  // namespace

int main() {
  show("a && b && c, all succeed", tine::Series::all_of({{"true"}, {"test", 1, "-lt", 2}}));
  show("a && b && c, b fails",
       tine::Series::all_of({{"true"}, {"sh", "-c", "exit 2"}, {"echo", "never"}}));
  show("a || b || c, b succeeds",
       tine::Series::any_of({{"sh", "-c", "kill -9 $$"}, {"true"}, {"echo", "never"}}));
  show("a || b, none succeeds", tine::Series::any_of({{"false"}, {"/no/such/program"}}));
  show("nothing && nothing", tine::Series::all_of({}));

  // run() makes an error of the failure that decided.
  const auto build = tine::Series::all_of({{"false"}, {"make", "install"}}).run();
  std::printf("run() says: %s\n", build ? "?" : build.error().to_string().c_str());
  return build ? 1 : 0;
}
