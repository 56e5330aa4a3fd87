// SPDX-License-Identifier: MIT
#pragma once

/// CPU quotas of cgroups, read below any root so that tests can fabricate one.

#include <filesystem>
#include <optional>

namespace tine::os {

/// The tightest quota, in CPUs, on the way from this process's cgroup to the root, v1 and v2.
/// `cgroup_file` is /proc/self/cgroup, `mount` /sys/fs/cgroup.
/// Source: cgroup-v2.rst "cpu.max"; sched-bwc.rst "cpu.cfs_quota_us"
std::optional<double> cgroup_cpu_quota(const std::filesystem::path& cgroup_file,
                                       const std::filesystem::path& mount);

}  // namespace tine::os
