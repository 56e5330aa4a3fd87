// SPDX-License-Identifier: MIT
#include "cli/job_log.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "cli/job_exit.h"
#include "cli/write_whole.h"

namespace tine::cli {

namespace {

constexpr std::string_view kHeader =
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

double seconds(auto duration) { return std::chrono::duration<double>(duration).count(); }

/// How much it wrote to stdout, wherever that went.
std::uint64_t received(const Outcome& outcome, const JobNotes& job) {
  if (outcome.out) return outcome.out.size();
  struct stat file{};
  const bool in_file = !job.out_path.empty() && ::stat(job.out_path.c_str(), &file) == 0;
  return in_file ? static_cast<std::uint64_t>(file.st_size) : job.passed_on;
}

}  // namespace

std::expected<JobLog, Error> JobLog::open(const std::string& path, bool append) {
  JobLog log;
  log.path_ = path;
  constexpr mode_t kReadWriteAll = 0666;
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND | (append ? 0 : O_TRUNC);
  log.file_.reset(path == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
                              : ::open(path.c_str(), flags, kReadWriteAll));
  if (!log.file_) {
    return std::unexpected(Error{.errno_value = errno, .stage = Stage::open, .subject = path});
  }
  struct stat file{};
  const bool empty = ::fstat(log.file_.get(), &file) != 0 || file.st_size == 0;
  if (empty) {
    if (auto done = write_whole(log.file_.get(), kHeader, path); !done) {
      return std::unexpected(done.error());
    }
  }
  return log;
}

std::expected<void, Error> JobLog::write(const Outcome& outcome, const JobNotes& job) {
  const JobExit exit = job_exit(outcome.result);
  line_.clear();
  fmt::format_to(std::back_inserter(line_), "{}\t:\t{:.3f}\t{:10.3f}\t0\t{}\t{}\t{}\t", job.seq,
                 seconds(outcome.started.time_since_epoch()), seconds(outcome.elapsed),
                 received(outcome, job), exit.code, exit.signal);
  const auto command_begin = static_cast<std::ptrdiff_t>(line_.size());
  line_ += job.line;
  // One job is one line, whatever its command contains.
  std::replace(line_.begin() + command_begin, line_.end(), '\n', ' ');
  line_ += '\n';
  return write_whole(file_.get(), line_, path_);
}

}  // namespace tine::cli
