// SPDX-License-Identifier: MIT
#pragma once

/// Starting one job of a batch: what its streams lead to, and the mark in its environment.

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "child/guardian.h"
#include "command/job_attempt.h"
#include "command/output_pool.h"
#include "command/preparation.h"
#include "command/start.h"
#include "tine/batch.h"
#include "tine/child.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::command {

/// The process of a job, and what it writes to.
struct LaunchedJob {
  std::unique_ptr<BackgroundStart> start{};
  Child child{};
  OutputFile out{};
  OutputFile err{};
};

class JobLauncher {
 public:
  /// Requires: both outlive it.
  JobLauncher(const BatchOptions& options, OutputPool& files);

  /// Requires: `attempt` stays where it is until the child has ended.
  /// Errors: those of a start; what had been taken for the job has been given back.
  std::expected<LaunchedJob, Error> launch(JobAttempt& attempt);

  /// What a start needs can be used again once its child has left our memory.
  void take_back(std::unique_ptr<BackgroundStart> start) { starts_.push_back(std::move(start)); }

 private:
  std::expected<void, Error> set_mark();
  std::expected<Child, Error> start(const CommandSpec& spec, LaunchedJob& made);
  std::expected<void, Error> add_streams(const CommandSpec& spec, LaunchedJob& made,
                                         std::span<Fd, 2> writers, Defaults& defaults);
  std::unique_ptr<BackgroundStart> free_start();

  const BatchOptions& options_;
  OutputPool& files_;
  Fd null_;
  std::string mark_name_;
  std::string mark_value_;
  child::KillMark mark_;
  bool mark_inherited_ = false;  ///< it stands in our own environment already
  std::vector<std::unique_ptr<BackgroundStart>> starts_;
};

}  // namespace tine::command
