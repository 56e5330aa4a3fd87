// SPDX-License-Identifier: MIT
#pragma once

/// The fixture of every test: it ends with no new descriptor, no child left (not even a zombie),
/// the signal mask unchanged and nothing new in /dev/shm.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "tine/child.h"
#include "tine/command.h"
#include "tine/fd.h"

namespace tine::test {

/// `tests/children/NAME`, built.
std::string child_program(const std::string& name);

/// `tests/children/hosts/NAME`, built: a program that uses the library itself.
std::string host_program(const std::string& name);

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

/// The next line from `fd`, without its newline, byte by byte so that nothing is read too far; what
/// there is when the end comes first.
std::string read_line(const Fd& fd);

/// Everything from `fd` up to its end.
std::string read_to_end(const Fd& fd);

/// Starts `command` with its stdout in a pipe and waits for its first line, which is `ready` unless
/// `said` wants it.
Child start_ready(Command command, std::string* said = nullptr);

/// Runs `body` in a forked copy of this process, for what must not happen to this one (closed
/// descriptors, lowered limits); its failed assertions are printed and count here.
void in_a_fork(const std::function<void()>& body);

/// `name=value` lines, as print_identity writes them.
std::map<std::string, std::string> named_values(const std::string& text);

/// Our stderr goes to `fd` as long as this lives.
class StderrTo {
 public:
  explicit StderrTo(int fd);
  StderrTo(const StderrTo&) = delete;
  StderrTo& operator=(const StderrTo&) = delete;
  ~StderrTo();

 private:
  Fd before_;
};

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
