// SPDX-License-Identifier: MIT
#include "cli/output_space.h"

#include <sys/statvfs.h>

#include "cli/job_exit.h"
#include "cli/write_whole.h"

namespace tine::cli {

namespace {

bool is_nearly_full(const OutputFile& file) {
  constexpr std::uint64_t kPlenty = 1 << 20;
  struct statvfs room{};
  if (::fstatvfs(file.fd().get(), &room) != 0 || room.f_blocks == 0) return false;
  return std::uint64_t{room.f_bavail} * room.f_frsize < kPlenty;
}

bool takes_some_bytes(const std::string& directory) {
  constexpr std::size_t kSome = 8192;
  const auto trial = OutputFile::create(directory);
  return trial && write_whole(trial->fd().get(), std::string(kSome, '-'), directory);
}

}  // namespace

bool output_may_be_lost(const Outcome& outcome, const std::string& directory) {
  const OutputFile& file = outcome.out.size() > 0 ? outcome.out : outcome.err;
  return file.size() > 0 && is_nearly_full(file) && !takes_some_bytes(directory);
}

bool is_refused_space(const Outcome& outcome) {
  if (!failed_by(Cause::not_started, outcome)) return false;
  const auto& error = outcome.result.error().error;
  return error && error->subject.starts_with("a temporary file in ");
}

}  // namespace tine::cli
