// SPDX-License-Identifier: MIT
#include "cli/job_maker.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <utility>

#include "cli/job_files.h"
#include "cli/results_path.h"

namespace tine::cli {

namespace fs = std::filesystem;

namespace {

/// Only a terminal: a loop such as `while read x; do parallel ...; done <list` keeps its list.
bool first_job_gets_stdin(const CommandLine& command_line) {
  return ::isatty(STDIN_FILENO) == 1 &&
         std::ranges::none_of(command_line.sources, [](const InputSource& source) {
           return source.kind == InputSource::Kind::file && source.path == "-";
         });
}

/// A script without a #! line is one that only a shell would run.
bool has_program_format(const fs::path& path) {
  constexpr std::string_view kElf{"\177ELF", 4};
  char head[4] = {};
  std::ifstream(path, std::ios::binary).read(head, sizeof head);
  const std::string_view start(head, sizeof head);
  return start.starts_with("#!") || start.starts_with(kElf);
}

}  // namespace

std::optional<std::string> tag_of(const JobLine& line, const Options& options) {
  if (!options.tag && !options.tag_string) return std::nullopt;
  return line.tag;
}

JobMaker::JobMaker(const CommandLine& command_line, std::string shell, const rlimit& files)
    : options_(command_line.options),
      shell_(std::move(shell)),
      files_(files),
      stdin_is_free_(first_job_gets_stdin(command_line)) {}

std::expected<MadeJob, std::string> JobMaker::make(const JobLine& line, std::size_t slot) {
  MadeJob job{.command = command_for(line),
              .notes = {.seq = line.seq, .line = line.line, .tag = tag_of(line, options_)}};
  if (is_results_table(options_.results)) job.notes.values = line.args;
  choose_program(job.command);
  set_surroundings(job.command, line, slot);
  if (!options_.files && line.results.empty()) return job;
  auto path = line.results.empty() ? redirect_to_new_file(job.command, options_.temporary_directory)
                                   : redirect_to_results(job.command, line);
  if (!path) return std::unexpected(std::move(path.error()));
  job.notes.out_path = std::move(*path);
  return job;
}

Command JobMaker::command_for(const JobLine& line) {
  const bool direct = !line.argv.empty() &&
                      (options_.shell == ShellUse::never || !program_path(line.argv[0]).empty());
  return direct ? Command::of(line.argv) : Command{shell_, "-c", line.line};
}

void JobMaker::choose_program(Command& command) {
  const std::string& program = command.spec().argv[0];
  const bool below_workdir = !options_.working_directory.empty() && !program.starts_with('/') &&
                             program.find('/') != std::string::npos;
  if (below_workdir) {
    command.program(fs::path(options_.working_directory) / program);  // as after a cd
  } else if (const fs::path& path = program_path(program); !path.empty()) {
    command.program(path);
  }
}

void JobMaker::set_surroundings(Command& command, const JobLine& line, std::size_t slot) {
  command.leave_descendants();
  command.env("PARALLEL_SEQ", std::to_string(line.seq));
  command.env("PARALLEL_JOBSLOT", std::to_string(slot + 1));
  if (!options_.process_slot_variable.empty()) {
    command.env(options_.process_slot_variable, std::to_string(slot));
  }
  if (!options_.working_directory.empty()) command.dir(options_.working_directory);
  if (options_.nice) command.nice(*options_.nice);
  if (files_.rlim_cur != files_.rlim_max) {
    command.limit(RLIMIT_NOFILE, files_.rlim_cur, files_.rlim_max);
  }
  if (std::exchange(stdin_is_free_, false)) command.in(Redirect::inherit());
}

/// Looked up once and not for every job, as a shell does. Empty: there is none that the kernel
/// could execute, and the shell knows better what to do or to say.
const fs::path& JobMaker::program_path(const std::string& name) {
  if (name != last_program_) {
    last_program_ = name;
    auto found = find_program(name);
    last_path_ = found && has_program_format(*found) ? *found : fs::path{};
  }
  return last_path_;
}

}  // namespace tine::cli
