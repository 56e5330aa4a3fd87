// SPDX-License-Identifier: MIT
#include "os/cpus.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "os/io.h"
#include "tine/process.h"

namespace tine::os {
namespace {

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

std::optional<double> quotient(std::optional<double> quota, std::optional<double> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return *quota / *period;
}

/// `cpu.max`: `200000 100000` or `max 100000`.
std::optional<double> quota_v2(const std::filesystem::path& dir) {
  std::string text;
  if (read_file((dir / "cpu.max").c_str(), text) != 0) return std::nullopt;
  const auto space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  return quotient(parse_number(text), parse_number(std::string_view(text).substr(space + 1)));
}

/// `cpu.cfs_quota_us`, -1 for none, and `cpu.cfs_period_us`.
std::optional<double> quota_v1(const std::filesystem::path& dir) {
  std::string quota;
  std::string period;
  if (read_file((dir / "cpu.cfs_quota_us").c_str(), quota) != 0) return std::nullopt;
  if (read_file((dir / "cpu.cfs_period_us").c_str(), period) != 0) return std::nullopt;
  return quotient(parse_number(quota), parse_number(period));
}

using QuotaOf = std::optional<double> (*)(const std::filesystem::path&);

std::optional<double> smaller(std::optional<double> a, std::optional<double> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

/// A limit of any group above holds as well. In a container `path` may not exist below the mount:
/// then the mount itself is the container's group.
std::optional<double> tightest(const std::filesystem::path& mount, std::string_view path,
                               QuotaOf quota_of) {
  std::optional<double> result = quota_of(mount);
  std::filesystem::path dir = mount;
  for (const auto& part : std::filesystem::path(path).relative_path()) {
    dir /= part;
    result = smaller(result, quota_of(dir));
  }
  return result;
}

bool has_cpu_controller(std::string_view controllers) {
  std::istringstream list{std::string(controllers)};
  for (std::string name; std::getline(list, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const std::filesystem::path& cgroup_file,
                                       const std::filesystem::path& mount) {
  std::string text;
  if (read_file(cgroup_file.c_str(), text) != 0) return std::nullopt;
  std::optional<double> result;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {  // hierarchy:controllers:path
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      result = smaller(result, tightest(mount, path, quota_v2));
      result = smaller(result, tightest(mount / "unified", path, quota_v2));
    } else if (has_cpu_controller(controllers)) {
      result = smaller(result, tightest(mount / controllers, path, quota_v1));
      if (controllers != "cpu") result = smaller(result, tightest(mount / "cpu", path, quota_v1));
    }
  }
  return result;
}

namespace {

unsigned affinity_count() {
  for (std::size_t cpus = 1024; cpus <= 65536; cpus *= 4) {
    std::vector<unsigned long> mask(cpus / (8 * sizeof(unsigned long)));
    auto* set = reinterpret_cast<cpu_set_t*>(mask.data());
    const std::size_t bytes = mask.size() * sizeof(unsigned long);
    if (::sched_getaffinity(0, bytes, set) == 0) {
      return static_cast<unsigned>(CPU_COUNT_S(bytes, set));
    }
  }
  return static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace
}  // namespace tine::os

unsigned tine::usable_cpus() {
  const unsigned allowed = os::affinity_count();
  const auto quota = os::cgroup_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  if (!quota) return std::max(1u, allowed);
  const auto by_quota = static_cast<unsigned>(std::max(1.0, std::ceil(*quota)));
  return std::max(1u, std::min(allowed, by_quota));
}
