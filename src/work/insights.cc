// SPDX-License-Identifier: MIT
#include <array>
#include <cstdio>
#include <string>

#include "os/system_error.h"
#include "tine/map_results.h"

namespace tine {

namespace {

std::string line_of(const WorkerInsight& worker) {
  std::array<char, 160> line{};
  std::snprintf(line.data(), line.size(), "%6d %8d %10zu %10s %10s %10s %10s  ", worker.worker,
                static_cast<int>(worker.pid), worker.items,
                os::duration_text(worker.started).c_str(), os::duration_text(worker.ended).c_str(),
                os::duration_text(worker.working).c_str(),
                os::duration_text(worker.waiting).c_str());
  return line.data() + worker.end + '\n';
}

}  // namespace

std::string MapInsights::to_string() const {
  constexpr std::size_t kMostLines = 32;
  std::string text = "map: " + os::duration_text(wall) + ", of which forking " +
                     os::duration_text(forking) + "; " + std::to_string(workers.size()) +
                     " workers, " + std::to_string(deaths) + " of them died; " +
                     std::to_string(retries) + " retries\n";
  text += "worker      pid      items    started      ended    working    waiting  end\n";
  for (std::size_t i = 0; i < workers.size() && i < kMostLines; ++i) text += line_of(workers[i]);
  if (workers.size() > kMostLines) {
    text += "       and " + std::to_string(workers.size() - kMostLines) + " more\n";
  }
  if (!slowest.empty()) {
    text += "slowest items:";
    for (const SlowItem& slow : slowest) {
      text += ' ' + std::to_string(slow.item) + " (" + os::duration_text(slow.elapsed) + ')';
    }
    text += '\n';
  }
  return text;
}

}  // namespace tine
