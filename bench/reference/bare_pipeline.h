// SPDX-License-Identifier: MIT
/// The least that Linux asks for to run a pipeline: a pipe between neighbours, a vfork for each
/// stage, a wait for each. Pipes keep their default size: a larger one hardly matters.
#pragma once

#include <string>
#include <vector>

#include "bare_spawn.h"

namespace bare {

using Stage = std::vector<std::string>;  // argv; the first word is a path

inline pid_t start_stage(const Stage& stage, int in, int out) {
  std::vector<char*> argv;
  for (const std::string& word : stage) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  return start_vfork({.argv = argv.data(), .in = in, .out = out});
}

inline void close_if_open(int fd) {
  if (fd >= 0) close(fd);
}

inline std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(fd, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  return text;
}

/// Runs the stages; with `capture` it returns what the last one printed, else that goes to our
/// stdout.
inline std::string run_pipeline(const std::vector<Stage>& stages, bool capture) {
  std::vector<pid_t> pids;
  int in = -1;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    int ends[2] = {-1, -1};
    const bool is_last = i + 1 == stages.size();
    if (!is_last || capture) check(pipe2(ends, O_CLOEXEC), "pipe2");
    pids.push_back(start_stage(stages[i], in, ends[1]));
    close_if_open(in);
    close_if_open(ends[1]);
    in = ends[0];
  }
  const std::string text = capture ? read_all(in) : "";
  close_if_open(in);
  for (std::size_t i = 0; i < pids.size(); ++i) wait_for_pid(pids[i], stages[i][0].c_str());
  return text;
}

}  // namespace bare
