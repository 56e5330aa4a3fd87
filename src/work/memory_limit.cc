// SPDX-License-Identifier: MIT
#include "work/memory_limit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "os/io.h"
#include "tine/fd.h"

namespace tine::work {

namespace {

/// The columns of statm, in pages.
enum Column : std::size_t { kResident = 1, kShared = 2, kData = 5, kColumns = 7 };

/// Without an allocation: a child that is short of memory asks, too.
std::optional<std::array<std::uint64_t, kColumns>> read_statm() noexcept {
  const Fd file{::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)};
  char text[256];
  const auto got = os::read_retry(file.get(), text, sizeof text);
  if (got <= 0) return std::nullopt;
  std::array<std::uint64_t, kColumns> columns{};
  const char* at = text;
  const char* const end = text + got;
  for (auto& column : columns) {
    const auto [next, error] = std::from_chars(at, end, column);
    if (error != std::errc{}) return std::nullopt;
    at = next < end ? next + 1 : next;
  }
  return columns;
}

std::uint64_t page_size() noexcept { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

/// The number behind `name`, in kB; 0: it is not there.
std::uint64_t kilobytes_of(std::string_view text, std::string_view name) noexcept {
  const std::size_t at = text.find(name);
  if (at == std::string_view::npos) return 0;
  const std::size_t digits = text.find_first_of("0123456789", at + name.size());
  if (digits == std::string_view::npos) return 0;
  std::uint64_t value = 0;
  std::from_chars(text.data() + digits, text.data() + text.size(), value);
  return value;
}

}  // namespace

std::uint64_t private_memory(pid_t pid) {
  const std::string directory = "/proc/" + std::to_string(pid);
  std::string rollup;
  std::string status;
  if (os::read_file((directory + "/smaps_rollup").c_str(), rollup) != 0 ||
      os::read_file((directory + "/status").c_str(), status) != 0) {
    return 0;
  }
  const std::uint64_t own = kilobytes_of(rollup, "\nPrivate_Clean:") +
                            kilobytes_of(rollup, "\nPrivate_Dirty:") +
                            kilobytes_of(rollup, "\nPrivate_Hugetlb:");
  // Results on their way to the parent are shared memory, which is no one's alone.
  const std::uint64_t shared = kilobytes_of(status, "\nRssShmem:");
  return own > shared ? (own - shared) << 10 : 0;
}

void MemoryWatch::begin(pid_t pid, std::uint64_t limit) noexcept {
  pid_ = pid;
  limit_ = limit;
  last_look_ = {};
  next_look_ = {};
}

bool MemoryWatch::exceeded() {
  if (limit_ == 0) return false;
  const auto began = std::chrono::steady_clock::now();
  if (began < next_look_) return false;
  last_look_ = began;
  const bool exceeded = private_memory(pid_) > limit_;
  const auto now = std::chrono::steady_clock::now();
  constexpr std::chrono::nanoseconds kBetweenLooks = std::chrono::milliseconds(50);
  constexpr int kShareOfTime = 50;  // at most so small a part of it is spent on looking
  next_look_ =
      now + std::max<std::chrono::nanoseconds>(kBetweenLooks, kShareOfTime * (now - began));
  return exceeded;
}

void limit_memory(std::uint64_t bytes) noexcept {
  const auto columns = read_statm();
  rlimit limit{};
  if (!columns || ::getrlimit(RLIMIT_DATA, &limit) != 0) return;
  const std::uint64_t now = (*columns)[kData] * page_size();
  const bool fits = bytes <= std::numeric_limits<std::uint64_t>::max() - now;
  const rlim_t wanted = fits ? now + bytes : RLIM_INFINITY;
  limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
  ::setrlimit(RLIMIT_DATA, &limit);
}

std::uint64_t own_memory() noexcept {
  const auto columns = read_statm();
  if (!columns || (*columns)[kResident] < (*columns)[kShared]) return 0;
  return ((*columns)[kResident] - (*columns)[kShared]) * page_size();
}

}  // namespace tine::work
