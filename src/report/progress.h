// SPDX-License-Identifier: MIT
#pragma once

/// What a run has done so far, and how to show it: a line that is redrawn on a terminal, and a
/// summary at the end.
///
/// Threads: one.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tine::report {

/// One finished job, as far as figures go.
struct JobFigures {
  bool failed = false;
  std::chrono::nanoseconds elapsed{};
  std::chrono::microseconds cpu{};
};

struct SlowJob {
  std::chrono::nanoseconds elapsed{};
  std::string command{};
};

class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Progress(Clock::time_point started) : started_(started) {}

  void set_total(std::uint64_t total) { total_ = total; }
  void job_ended(const JobFigures& job, const std::string& command);
  /// One that the run itself has ended: neither done nor failed.
  void job_cancelled(std::chrono::microseconds cpu);

  [[nodiscard]] std::uint64_t ended() const { return ended_; }
  [[nodiscard]] std::uint64_t cancelled() const { return cancelled_; }

  /// `[=====>    ]  52 %  1,204 of 2,311  3 failed  812/s  1.4 s left`, at most `width` columns.
  [[nodiscard]] std::string line(Clock::time_point now, std::size_t width) const;
  /// Several lines: jobs, failures, wall and CPU time, jobs per second, the slowest five.
  [[nodiscard]] std::string summary(Clock::time_point now) const;

 private:
  [[nodiscard]] double seconds_since_start(Clock::time_point now) const;

  static constexpr std::size_t kSlowest = 5;

  Clock::time_point started_;
  std::optional<std::uint64_t> total_;
  std::uint64_t ended_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t cancelled_ = 0;
  std::chrono::microseconds cpu_{};
  std::vector<SlowJob> slowest_;  ///< slowest first
};

/// 1234567 as 1,234,567.
[[nodiscard]] std::string grouped(std::uint64_t number);
/// 1.2 s, 3 min 4 s, 2 h 10 min.
[[nodiscard]] std::string readable(std::chrono::duration<double> duration);

}  // namespace tine::report
