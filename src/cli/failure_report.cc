// SPDX-License-Identifier: MIT
#include "cli/failure_report.h"

#include <fmt/core.h>

#include "report/printable.h"

namespace tine::cli {

namespace {

using report::printable;

std::string how_it_ended(const Failure& failure) {
  if (failure.cause == Cause::not_started && failure.error) {
    return printable(failure.error->to_string(), 200);
  }
  std::string text(to_string(failure.cause));
  const bool by_itself = failure.cause == Cause::exited || failure.cause == Cause::signaled;
  if (by_itself && failure.status) text = failure.status->to_string();
  if (failure.attempts > 1) text += fmt::format(" ({} attempts)", failure.attempts);
  return text;
}

/// The last `count` lines that say something.
std::vector<std::string_view> last_lines(std::string_view text, std::size_t count) {
  std::vector<std::string_view> lines;
  while (lines.size() < count && !text.empty()) {
    const auto end = text.find_last_not_of("\r\n \t");
    if (end == std::string_view::npos) break;
    text = text.substr(0, end + 1);
    const auto newline = text.find_last_of("\r\n");
    const auto begin = newline == std::string_view::npos ? 0 : newline + 1;
    lines.insert(lines.begin(), text.substr(begin));
    text = text.substr(0, begin);
  }
  return lines;
}

}  // namespace

void FailureReport::add(std::uint64_t seq, const std::string& command, const Failure& failure) {
  ++count_;
  if (first_.size() == kShown) return;
  Entry entry{seq, printable(command, 90), how_it_ended(failure), {}};
  for (const auto line : last_lines(failure.stderr_tail, 2)) {
    entry.last_words += "      " + printable(line, 100) + "\n";
  }
  first_.push_back(std::move(entry));
}

std::string FailureReport::text(const std::string& program, std::uint64_t total) const {
  std::string text = fmt::format("{}: {} of {} jobs failed\n", program, count_, total);
  for (const auto& entry : first_) {
    text += fmt::format("  #{} {}: {}\n{}", entry.seq, entry.command, entry.how, entry.last_words);
  }
  if (count_ > first_.size()) {
    text += fmt::format("  and {} more; --joblog FILE lists them all\n", count_ - first_.size());
  }
  return text;
}

}  // namespace tine::cli
