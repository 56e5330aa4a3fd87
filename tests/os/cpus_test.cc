// SPDX-License-Identifier: MIT
#include "os/cpus.h"

#include <sched.h>

#include "support/clean_process_test.h"
#include "tine/process.h"

namespace tine {
namespace {

namespace fs = std::filesystem;

/// A fabricated /proc/self/cgroup and /sys/fs/cgroup.
class CpusTest : public test::CleanProcessTest {
 protected:
  void group(const std::string& path, const std::string& file, const std::string& text) {
    fs::create_directories(mount() / path);
    tree_.write("cgroup/" + path + (path.empty() ? "" : "/") + file, text);
  }
  std::optional<double> quota(const std::string& membership) {
    const std::string file = tree_.write("membership", membership);
    fs::create_directories(mount());
    return os::cgroup_cpu_quota(file, mount());
  }
  [[nodiscard]] fs::path mount() const { return tree_ / "cgroup"; }

  test::TemporaryDirectory tree_;
};

TEST_F(CpusTest, QuotaOfVersion2IsQuotaByPeriod) {
  group("job", "cpu.max", "150000 100000\n");
  EXPECT_EQ(quota("0::/job\n"), 1.5);
}

TEST_F(CpusTest, MaxMeansNoQuota) {
  group("job", "cpu.max", "max 100000\n");
  EXPECT_EQ(quota("0::/job\n"), std::nullopt);
}

TEST_F(CpusTest, TightestOnTheWayToTheRootHolds) {
  group("a", "cpu.max", "50000 100000\n");
  group("a/b", "cpu.max", "400000 100000\n");
  group("a/b/c", "cpu.max", "max 100000\n");
  EXPECT_EQ(quota("0::/a/b/c\n"), 0.5);
}

TEST_F(CpusTest, ContainersOwnGroupIsTheMount) {
  group("", "cpu.max", "300000 100000\n");
  EXPECT_EQ(quota("0::/docker/0123\n"), 3.0);
}

TEST_F(CpusTest, QuotaOfVersion1UnderEitherName) {
  group("cpu,cpuacct/job", "cpu.cfs_quota_us", "250000\n");
  group("cpu,cpuacct/job", "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota("11:memory:/job\n4:cpu,cpuacct:/job\n"), 2.5);
  fs::rename(mount() / "cpu,cpuacct", mount() / "cpu");
  EXPECT_EQ(quota("4:cpu,cpuacct:/job\n"), 2.5);
}

TEST_F(CpusTest, MinusOneMeansNoQuotaInVersion1) {
  group("cpu/job", "cpu.cfs_quota_us", "-1\n");
  group("cpu/job", "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota("4:cpu:/job\n"), std::nullopt);
}

TEST_F(CpusTest, CpusetIsNotTheCpuController) {
  group("cpuset/job", "cpu.cfs_quota_us", "100000\n");
  group("cpuset/job", "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota("4:cpuset:/job\n"), std::nullopt);
}

TEST_F(CpusTest, HybridMountsAreUnderstood) {
  group("unified/job", "cpu.max", "200000 100000\n");
  EXPECT_EQ(quota("0::/job\n"), 2.0);
}

TEST_F(CpusTest, NonsenseIsNoQuota) {
  group("job", "cpu.max", "lots of it\n");
  EXPECT_EQ(quota("0::/job\nnot a line\n:\n"), std::nullopt);
  EXPECT_EQ(quota(""), std::nullopt);
  EXPECT_EQ(os::cgroup_cpu_quota("/no/such/file", mount()), std::nullopt);
}

TEST_F(CpusTest, AffinityLimitsUsableCpus) {
  test::in_a_fork([] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(usable_cpus(), 1u);
  });
  EXPECT_GE(usable_cpus(), 1u);
}

}  // namespace
}  // namespace tine
