// SPDX-License-Identifier: MIT
/// Pipelines by bare vfork and by shells, as variants for bench::measure. In a header, so that
/// tine's benchmark runs them in its own process, round by round beside its own pipelines.
#pragma once

#include <string>
#include <vector>

#include "bare_pipeline.h"
#include "rounds.h"

namespace bare {

inline const std::string kTrue = "/bin/true";

inline std::vector<Stage> three_times_true() { return {{kTrue}, {kTrue}, {kTrue}}; }

inline std::vector<Stage> head_cat_wc(const std::string& size) {
  return {{"/usr/bin/head", "-c", size, "/dev/zero"}, {"/bin/cat"}, {"/usr/bin/wc", "-c"}};
}

/// The bytes that `head -c size` gives: a number, maybe with K, M or G.
inline std::string bytes_of(const std::string& size) {
  std::size_t end = 0;
  unsigned long long bytes = std::stoull(size, &end);
  const std::string suffix = size.substr(end);
  for (const char* unit : {"K", "M", "G"}) {
    if (suffix.empty()) break;
    bytes *= 1024;
    if (suffix == unit) break;
  }
  return std::to_string(bytes);
}

inline void expect_count(const std::string& printed, const std::string& size) {
  const std::string expected = bytes_of(size);
  if (printed != expected && printed != expected + "\n") {
    bench::fail("wc printed '" + printed + "', not " + expected);
  }
}

/// Runs the stages and checks what the last printed, if a size says what that must be.
inline std::function<void()> checked(const std::vector<Stage>& stages, const std::string& size) {
  return [=] {
    const std::string printed = run_pipeline(stages, !size.empty());
    if (!size.empty()) expect_count(printed, size);
  };
}

/// A size makes it `head -c SIZE /dev/zero | cat | wc -c`, none makes it `true | true | true`. The
/// shells are started for each pipeline; `builtin` is bash with its builtin true, which execs
/// nothing.
inline std::vector<bench::Variant> pipeline_variants(const std::string& size) {
  const bool bulk = !size.empty();
  const std::string line =
      bulk ? "head -c " + size + " /dev/zero | cat | wc -c" : "/bin/true | /bin/true | /bin/true";
  std::vector<bench::Variant> variants{
      {"vfork", checked(bulk ? head_cat_wc(size) : three_times_true(), size)},
      {"bash", checked({{"/bin/bash", "-c", line}}, size)},
      {"dash", checked({{"/bin/dash", "-c", line}}, size)},
  };
  if (!bulk) {
    variants.push_back({"builtin", checked({{"/bin/bash", "-c", "true | true | true"}}, "")});
  }
  return variants;
}

}  // namespace bare
