// SPDX-License-Identifier: MIT
#include "work/memory_limit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <limits>
#include <optional>

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

}  // namespace

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
