// SPDX-License-Identifier: MIT
#pragma once

/// Makes of a line of the input what the batch runs: by the shell or directly, with which program,
/// surroundings and files.

#include <sys/resource.h>

#include <cstddef>
#include <expected>
#include <filesystem>
#include <string>

#include "cli/job_notes.h"
#include "cli/job_stream.h"
#include "cli/options.h"
#include "tine/command.h"

namespace tine::cli {

struct MadeJob {
  Command command;
  JobNotes notes;
};

class JobMaker {
 public:
  /// `files`: RLIMIT_NOFILE for the jobs.
  JobMaker(const CommandLine& command_line, std::string shell, const rlimit& files);

  /// `slot` counts from 0. Errors: a file for its output cannot be made; a sentence for the user.
  std::expected<MadeJob, std::string> make(const JobLine& line, std::size_t slot);

 private:
  Command command_for(const JobLine& line);
  void choose_program(Command& command);
  void set_surroundings(Command& command, const JobLine& line, std::size_t slot);
  const std::filesystem::path& program_path(const std::string& name);

  const Options& options_;
  std::string shell_;
  rlimit files_;
  bool stdin_is_free_;  ///< for the first job
  std::string last_program_;
  std::filesystem::path last_path_;
};

/// --tag and --tagstring.
std::optional<std::string> tag_of(const JobLine& line, const Options& options);

}  // namespace tine::cli
