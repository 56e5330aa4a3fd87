// SPDX-License-Identifier: MIT
#include "command/output_pool.h"

#include <unistd.h>

#include <utility>

#include "os/temporary_directory.h"

namespace tine::command {

OutputPool::OutputPool(const std::filesystem::path& directory)
    : directory_(directory.empty() ? os::temporary_directory() : directory.native()) {}

std::expected<OutputPool::ForJob, Error> OutputPool::lend() {
  ForJob made;
  if (spare_.empty()) {
    auto file = OutputFile::create(directory_);
    if (!file) return std::unexpected(file.error());
    made.file = std::move(*file);
  } else {
    made.file = std::move(spare_.back());
    spare_.pop_back();
  }
  made.writer = made.file.open_for_job();
  made.file.exclusive_ = static_cast<bool>(made.writer);
  return made;
}

void OutputPool::seal(OutputFile& file) {
  file.exclusive_ = file.exclusive_ && file && file.is_ours_alone();
  if (file.exclusive_) file.final_size_ = file.size();
}

void OutputPool::take_back(OutputFile file) {
  constexpr std::size_t kMostSpare = 64;
  if (!file || !file.exclusive_ || spare_.size() >= kMostSpare) return;
  const bool empty = file.size() == 0 || ::ftruncate(file.file_.get(), 0) == 0;
  file.final_size_.reset();
  if (empty) spare_.push_back(std::move(file));
}

}  // namespace tine::command
