// SPDX-License-Identifier: MIT
#include "report/progress.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/printable.h"

namespace tine::report {

namespace {

std::string bar(double share, std::size_t width) {
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
  std::string text(filled, '=');
  if (filled < width) text += '>';
  text.resize(width, ' ');
  return "[" + text + "]";
}

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

std::string readable(std::chrono::duration<double> duration) {
  const double seconds = duration.count();
  if (seconds < 0.001) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (seconds < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

double Progress::seconds_since_start(Clock::time_point now) const {
  return std::max(1e-9, std::chrono::duration<double>(now - started_).count());
}

void Progress::job_ended(const JobFigures& job, const std::string& command) {
  ++ended_;
  failed_ += job.failed ? 1 : 0;
  cpu_ += job.cpu;
  const bool among_slowest = slowest_.size() < kSlowest || job.elapsed > slowest_.back().elapsed;
  if (!among_slowest) return;
  const auto place = std::ranges::find_if(
      slowest_, [&](const SlowJob& slow) { return slow.elapsed < job.elapsed; });
  slowest_.insert(place, {job.elapsed, command});
  if (slowest_.size() > kSlowest) slowest_.pop_back();
}

void Progress::job_cancelled(std::chrono::microseconds cpu) {
  ++cancelled_;
  cpu_ += cpu;
}

std::string Progress::line(Clock::time_point now, std::size_t width) const {
  const double rate = static_cast<double>(ended_) / seconds_since_start(now);
  std::string text;
  if (total_ && *total_ > 0) {
    const std::uint64_t total = std::max(*total_, ended_);  // the user's may be too few
    const double share = static_cast<double>(ended_) / static_cast<double>(total);
    text = fmt::format("{} {:3.0f} %  {} of {}", bar(share, 20), std::floor(share * 100),
                       grouped(ended_), grouped(total));
  } else {
    text = fmt::format("{} done", grouped(ended_));
  }
  if (failed_ > 0) text += fmt::format("  {} failed", grouped(failed_));
  if (cancelled_ > 0) text += fmt::format("  {} cancelled", grouped(cancelled_));
  text += fmt::format("  {:.{}f}/s", rate, rate < 10 ? 1 : 0);
  if (total_ && ended_ > 0 && ended_ < *total_) {
    const double left = static_cast<double>(*total_ - ended_) / rate;
    text += fmt::format("  {} left", readable(std::chrono::duration<double>(left)));
  }
  return text.substr(0, width);
}

std::string Progress::summary(Clock::time_point now) const {
  const double wall = seconds_since_start(now);
  const double cpu = std::chrono::duration<double>(cpu_).count();
  std::string text = fmt::format(
      "jobs      {}\nfailed    {}\n{}wall      {}\nCPU       {} ({:.1f} cores busy)\nspeed     "
      "{:.{}f} "
      "jobs/s\n",
      grouped(ended_), grouped(failed_),
      cancelled_ > 0 ? fmt::format("cancelled {}\n", grouped(cancelled_)) : "",
      readable(std::chrono::duration<double>(wall)), readable(cpu_), cpu / wall,
      static_cast<double>(ended_) / wall, static_cast<double>(ended_) / wall < 10 ? 1 : 0);
  const char* label = "slowest";
  for (const auto& slow : slowest_) {
    text += fmt::format("{:<9} {:>7}  {}\n", label, readable(slow.elapsed),
                        printable(slow.command, 70));
    label = "";
  }
  return text;
}

}  // namespace tine::report
