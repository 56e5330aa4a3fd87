// SPDX-License-Identifier: MIT
#pragma once

/// The fixture of every test: it ends with no new descriptor, no child left (not even a zombie), the
/// signal mask unchanged and nothing new in /dev/shm.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <functional>
#include <set>
#include <string>

namespace tine::test {

/// `tests/children/NAME`, built.
std::string child_program(const std::string& name);

/// Waits until `condition` holds; false when it does not within 10 s, which is always a failure.
bool eventually(const std::function<bool()>& condition);

/// Whether a process runs (a zombie does not).
bool is_running(pid_t pid);

/// A directory of its own, removed with all in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file and gives its path.
  std::string write(const std::string& name, const std::string& text, int mode = 0644) const;

 private:
  std::string path_;
};

std::string read_text(const std::string& path);

class CleanProcessTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

 private:
  std::set<std::string> descriptors_;
  std::set<std::string> shared_memory_;
  sigset_t mask_{};
};

}  // namespace tine::test
