// SPDX-License-Identifier: MIT
#include "cli/output_space.h"

#include <sys/statvfs.h>

#include <filesystem>

#include "cli/job_exit.h"
#include "cli/write_whole.h"

namespace tine::cli {

namespace {

bool is_nearly_full(const std::string& directory) {
  constexpr std::uint64_t kPlenty = 1 << 20;
  struct statvfs room{};
  if (::statvfs(directory.c_str(), &room) != 0 || room.f_blocks == 0) return false;
  return std::uint64_t{room.f_bavail} * room.f_frsize < kPlenty;
}

bool takes_some_bytes(const std::string& directory) {
  constexpr std::size_t kSome = 8192;
  const auto trial = OutputFile::create(directory);
  return trial && write_whole(trial->fd().get(), std::string(kSome, '-'), directory);
}

}  // namespace

std::optional<std::string> full_directory(const Outcome& outcome, const JobNotes& job,
                                          const std::string& waiting) {
  const bool own_files = !job.out_path.empty();
  const bool has_written = outcome.out.size() > 0 || outcome.err.size() > 0;
  // One that failed may have found no room for a single byte.
  if (!own_files && !has_written && outcome.result) return std::nullopt;
  std::string directory =
      own_files ? std::filesystem::path(job.out_path).parent_path().native() : waiting;
  if (directory.empty()) directory = ".";
  if (!is_nearly_full(directory) || takes_some_bytes(directory)) return std::nullopt;
  return directory;
}

bool is_refused_space(const Outcome& outcome) {
  if (!failed_by(Cause::not_started, outcome)) return false;
  const auto& error = outcome.result.error().error;
  return error && error->subject.starts_with("a temporary file in ");
}

}  // namespace tine::cli
