// SPDX-License-Identifier: MIT
/// The jobs of a command line, one after the other: reads the input, gathers values, and renders
/// what each job is to run. Nothing is read before it is needed, and no call waits for input.
///
/// Threads: one stream belongs to one thread.
/// Example:  auto stream = JobStream::open(command_line, {.slots = 4});
///           JobLine job;
///           while (stream->next(1, job) == Pull::job) run(job);
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/batcher.h"
#include "cli/options.h"
#include "cli/template.h"

namespace tine::cli {

/// One job. Kept by the caller between calls, so that its strings are used again.
struct JobLine {
  std::uint64_t seq = 0;
  std::string line{};               ///< shell text: for the shell, the log and messages
  std::vector<std::string> argv{};  ///< empty: run `line` by the shell
  std::vector<std::string> args{};  ///< the values of this job
  std::string tag{};                ///< for --tag and --tagstring
  /// --results: a directory when it ends in / (stdout, stderr and seq go into it), otherwise the
  /// name of the output, beside which .err and .seq stand. Empty for .csv, .tsv and .json.
  std::string results{};
};

/// What the stream has to know about the place it runs in.
struct JobSettings {
  int slots = 1;                             ///< jobs at a time, for -X, -m and {0%}
  std::string shell = "/bin/bash";           ///< what runs a `line`
  const char* const* environment = nullptr;  ///< of the jobs; null: of this process
};

class JobStream {
 public:
  /// Opens the sources; reads nothing yet.
  ///
  /// Errors: a file that cannot be opened, an option value that cannot be used, a template that
  ///         --no-shell cannot run. With --header the template is looked at in next().
  static std::expected<JobStream, std::string> open(const CommandLine& command_line,
                                                    const JobSettings& settings);
  JobStream(JobStream&&) noexcept;
  JobStream& operator=(JobStream&&) noexcept;
  ~JobStream();

  /// Fills `out` with the next job, to be run in `slot` (from 1).
  ///
  /// Blocks: never; poll wait_fd() after would_block.
  /// Errors: the input cannot be read, a command line is too long; the stream is of no more use.
  std::expected<Pull, std::string> next(int slot, JobLine& out);
  int wait_fd() const;

  /// Reads the whole input and keeps it, as --bar, --eta and --halt with a percentage need it.
  /// To be called until it answers `end`.
  std::expected<Pull, std::string> gather();
  /// The number of all jobs, once it is known.
  std::optional<std::uint64_t> total() const;
  /// The input held NULs, which were replaced by \0; worth a warning.
  bool had_nul() const;

 private:
  struct State;
  explicit JobStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The longest command line used when -s does not say less.
std::size_t max_line_length();

/// `line` quoted `times` times: what a job prints with --shellquote.
std::string quoted_times(std::string_view line, int times);

}  // namespace tine::cli
