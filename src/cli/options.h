// SPDX-License-Identifier: MIT
/// The options of `tine run` and how a command line is cut into options, template and sources.
/// The grammar is GNU parallel's; the table in option_table.cc is read by the parser and printed
/// by --help, so that the two cannot drift apart.
///
/// Threads: parse_command_line() uses getopt, so one thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/template.h"
#include "tine/batch.h"
#include "tine/child.h"

namespace tine::cli {

/// Where values come from, in the order of the command line.
struct InputSource {
  enum class Kind { arguments, file };
  Kind kind = Kind::arguments;
  std::vector<std::string> arguments{};
  std::string path{};   ///< `-` is standard input
  bool linked = false;  ///< :::+ and ::::+ advance with the source before them
};

enum class Trim { none, left, right, both };

/// -j: how many jobs at a time, to be worked out against the number of processors.
struct JobCount {
  enum class Kind { number, add, percent, unlimited, file };
  Kind kind = Kind::percent;
  double value = 100;  ///< `add` may be negative
  std::string path{};
};

struct Timeout {
  std::chrono::duration<double> after{0};
  double percent = 0;  ///< above 0: per cent of the median run time so far
};

enum class Grouping { job, line, none };
enum class ShellUse { automatic, always, never };
enum class Header { none, first_record, file_names };

enum class Action {
  run,
  help,
  version,
  minimum_version,
  number_of_cpus,
  number_of_sockets,
  number_of_cores,
  number_of_threads,
  max_line_length,
};

struct Options {
  Action action = Action::run;
  std::uint64_t minimum_version = 0;
  bool show_limits = false;  ///< before the run
  bool plain = false;        ///< without $PARALLEL

  // Input.
  std::string delimiter = "\n";
  std::optional<std::string> column_separator{};
  std::optional<Trim> trim{};  ///< none given: both with -C, otherwise none
  Header header = Header::none;
  std::optional<std::string> end_of_file{};
  bool skip_blank = false;
  bool link = false;
  bool shuffle = false;
  std::vector<std::string> arg_files{};
  std::string arg_separator = ":::";
  std::string arg_file_separator = "::::";

  // Template.
  Placeholders placeholders{};
  bool plus = false;
  bool quote = false;
  int shell_quote = 0;  ///< print each command quoted so many times instead of running it

  // Values per job. Unset: one.
  std::optional<std::uint64_t> max_args{};          ///< -n
  std::optional<std::uint64_t> max_replace_args{};  ///< -N
  std::optional<std::uint64_t> max_lines{};         ///< -L, -l
  bool lines_as_args = false;                       ///< -l: as -n in how it replaces
  bool fill_repeating = false;                      ///< -X, and what implies it
  bool fill = false;                                ///< -m
  bool xargs = false;                               ///< --xargs
  bool repeat_context = false;                      ///< -X -N -L
  std::optional<std::size_t> max_chars{};
  bool exit_if_too_long = false;

  // Running.
  JobCount jobs{};
  Halt halt{};  ///< a percentage is one of all jobs, unlike that of a Batch
  Timeout timeout{};
  std::chrono::duration<double> delay{0};
  std::uint64_t retries = 1;     ///< attempts in all; 0: without end
  StopSequence term_sequence{};  ///< empty: the usual one
  std::optional<int> nice{};
  std::string working_directory{};
  std::string process_slot_variable{};
  ShellUse shell = ShellUse::automatic;
  bool dry_run = false;

  // Output.
  bool keep_order = false;
  Grouping grouping = Grouping::job;
  bool tag = false;
  std::optional<std::string> tag_string{};
  int verbose = 0;
  bool verbose_on_stderr = false;
  std::string job_log{};
  bool append_job_log = false;
  std::string results{};
  bool files = false;
  std::string temporary_directory{};  ///< never empty once the options are complete
  bool bar = false;
  bool eta = false;
  bool progress = false;
  std::optional<std::uint64_t> total_jobs{};
  bool summary = false;       ///< figures at the end
  bool list_failures = true;  ///< at the end
};

struct CommandLine {
  Options options{};
  std::vector<std::string> words{};    ///< the template; empty: the values are the commands
  std::vector<InputSource> sources{};  ///< never empty after parsing
  bool stdin_by_default = false;       ///< no source was named
};

/// `words` is argv without the program's name.
///
/// Errors: a sentence saying what is wrong, where, and what would be accepted.
std::expected<CommandLine, std::string> parse_command_line(std::vector<std::string> words);

/// The words of $PARALLEL, split as a shell would, to be put before those of the command line.
std::vector<std::string> split_environment_options(std::string_view value);

/// What --help prints.
std::string help_text();

/// What to tell a user who gave no source and whose standard input is a terminal.
std::string_view terminal_hint();

}  // namespace tine::cli
