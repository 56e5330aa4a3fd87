// SPDX-License-Identifier: MIT
#pragma once

/// What to say at the end of a run with failures: which jobs, how, and their last words, in at most
/// twenty lines.

#include <cstdint>
#include <string>
#include <vector>

#include "tine/error.h"

namespace tine::cli {

class FailureReport {
 public:
  void add(std::uint64_t seq, const std::string& command, const Failure& failure);
  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// `total`: all jobs that ended.
  [[nodiscard]] std::string text(const std::string& program, std::uint64_t total) const;

 private:
  static constexpr std::size_t kShown = 6;

  struct Entry {
    std::uint64_t seq;
    std::string command;
    std::string how;
    std::string last_words;  ///< at most two lines of its stderr
  };
  std::vector<Entry> first_;
  std::uint64_t count_ = 0;
};

}  // namespace tine::cli
