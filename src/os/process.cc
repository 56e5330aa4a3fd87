// SPDX-License-Identifier: MIT
#include "tine/process.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <utility>

#include "os/io.h"
#include "os/process_table.h"
#include "os/system_error.h"

namespace tine {

namespace {

/// The numbers behind the ')' of /proc/PID/stat, from `ppid`, which proc(5) calls field 4.
class StatFields {
 public:
  explicit StatFields(std::string_view text) {
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end && count_ < std::size(values_)) {
      while (at < end && *at == ' ') ++at;
      const auto [next, error] = std::from_chars(at, end, values_[count_]);
      if (error != std::errc{}) return;
      at = next;
      ++count_;
    }
  }
  /// By the number that proc(5) gives it.
  [[nodiscard]] std::int64_t operator[](std::size_t field) const {
    return field - 4 < count_ ? values_[field - 4] : 0;
  }

 private:
  std::int64_t values_[40] = {};
  std::size_t count_ = 0;
};

std::chrono::microseconds ticks_to_time(std::int64_t ticks) {
  static const long per_second = ::sysconf(_SC_CLK_TCK);
  return std::chrono::microseconds(ticks * 1'000'000 / per_second);
}

std::expected<std::string, Error> read_proc(pid_t pid, const char* leaf) {
  std::string text;
  const int error = os::read_file(os::ProcPath(pid, leaf).text(), text);
  if (error == 0) return text;
  // ENOENT is "no such process" only where /proc is there at all.
  const bool gone = error == ESRCH || (error == ENOENT && ::access("/proc/self", F_OK) == 0);
  return os::failed(Stage::proc, gone ? ESRCH : error, std::to_string(pid));
}

}  // namespace

std::expected<ProcessInfo, Error> process_info(pid_t pid) {
  auto text = read_proc(pid, "stat");
  if (!text) return std::unexpected(text.error());
  const auto open = text->find('(');
  const auto close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 3 > text->size()) {
    return os::failed(Stage::proc, EBADMSG, std::to_string(pid));
  }
  static const long page = ::sysconf(_SC_PAGESIZE);
  const StatFields fields(std::string_view(*text).substr(close + 3));
  ProcessInfo info;
  info.pid = pid;
  info.name = text->substr(open + 1, close - open - 1);
  info.state = (*text)[close + 2];
  info.parent = static_cast<pid_t>(fields[4]);
  info.group = static_cast<pid_t>(fields[5]);
  info.session = static_cast<pid_t>(fields[6]);
  info.user = ticks_to_time(fields[14]);
  info.sys = ticks_to_time(fields[15]);
  info.threads = static_cast<int>(fields[20]);
  info.start_ticks = static_cast<std::uint64_t>(fields[22]);
  info.virtual_size = static_cast<std::uint64_t>(fields[23]);
  info.resident = static_cast<std::uint64_t>(fields[24] * page);
  return info;
}

std::expected<std::vector<ProcessInfo>, Error> ancestors(pid_t pid) {
  std::vector<ProcessInfo> chain;
  while (pid > 0) {
    auto info = process_info(pid);
    if (!info && chain.empty()) return std::unexpected(info.error());
    if (!info) break;  // hidepid shows only our own
    pid = info->parent;
    chain.push_back(std::move(*info));
  }
  return chain;
}

std::expected<std::vector<ProcessInfo>, Error> ancestors() { return ancestors(::getpid()); }

std::expected<std::vector<ProcessInfo>, Error> process_tree(pid_t root) {
  auto first = process_info(root);
  if (!first) return std::unexpected(first.error());
  os::ProcessTable table;
  if (!table.scan()) {
    return os::failed(Stage::proc, os::proc_is_ours() ? ENOMEM : ENOENT, std::to_string(root));
  }
  std::vector<ProcessInfo> tree{std::move(*first)};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    for (const auto& entry : table) {
      if (entry.parent != tree[i].pid) continue;
      // One that ended since the scan is simply not there any more.
      if (auto info = process_info(entry.pid)) tree.push_back(std::move(*info));
    }
  }
  return tree;
}

std::expected<std::string, Error> command_line(pid_t pid) {
  auto text = read_proc(pid, "cmdline");
  if (!text) return text;
  while (!text->empty() && text->back() == '\0') text->pop_back();
  if (text->empty()) {
    auto info = process_info(pid);
    if (!info) return std::unexpected(info.error());
    return "[" + info->name + "]";
  }
  std::ranges::replace(*text, '\0', ' ');
  return text;
}

namespace {

/// A look may come just before a fork: looks again until it finds nobody that is not dying already.
template <class IsRoot>
std::size_t kill_until_gone(IsRoot&& is_root) {
  std::set<std::pair<pid_t, std::uint64_t>> killed;  // pid and start: a pid alone is recycled
  constexpr int kMostRounds = 100;
  for (int round = 0; round < kMostRounds; ++round) {
    const std::size_t before = killed.size();
    os::freeze_and_kill(is_root, ::getpid(),
                        [&](const os::ProcessEntry& e) { killed.emplace(e.pid, e.start); });
    if (killed.size() == before) break;
  }
  return killed.size();
}

}  // namespace

std::size_t kill_marked(std::string_view mark) {
  return kill_until_gone([mark](const os::ProcessEntry& entry) {
    return os::environment_holds(entry.pid, mark.data(), mark.size());
  });
}

std::size_t kill_descendants() {
  return kill_until_gone(
      [self = ::getpid()](const os::ProcessEntry& entry) { return entry.parent == self; });
}

}  // namespace tine
