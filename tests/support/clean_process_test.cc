// SPDX-License-Identifier: MIT
#include "support/clean_process_test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tine/command.h"
#include "tine/process.h"

#ifdef __SANITIZE_THREAD__
/// Memory that the table of processes gets and gives back by raw system calls, which TSan does not
/// see: the same addresses in two threads are two mappings.
extern "C" const char* __tsan_default_suppressions() { return "race:process_table.h\n"; }
#endif

namespace tine::test {

namespace fs = std::filesystem;

namespace {

/// `number -> where it leads`, for messages that say what leaked. An unreadable one was closed
/// between listing and looking, such as the listing's own.
std::set<std::string> open_descriptors() {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code closed;
    const auto target = fs::read_symlink(entry.path(), closed);
    if (closed || target == fs::path("/proc/" + std::to_string(::getpid()) + "/fd")) continue;
    found.insert(entry.path().filename().string() + " -> " + target.string());
  }
  return found;
}

std::set<std::string> files_in_shared_memory() {
  std::set<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/dev/shm", none)) {
    found.insert(entry.path().string());
  }
  return found;
}

}  // namespace

std::string child_program(const std::string& name) { return TINE_TEST_CHILDREN "/" + name; }

std::string host_program(const std::string& name) { return TINE_TEST_CHILDREN "/hosts/" + name; }

bool eventually(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(
        std::chrono::milliseconds(1));  // between looks, not instead of them
  }
  return true;
}

bool is_running(pid_t pid) {
  const auto info = process_info(pid);
  return info && info->state != 'Z' && info->state != 'X';
}

TemporaryDirectory::TemporaryDirectory() {
  std::string path = (fs::temp_directory_path() / "tine-test-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  path_ = path;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TemporaryDirectory::write(const std::string& name, const std::string& text,
                                      int mode) const {
  const std::string path = path_ + "/" + name;
  std::ofstream(path, std::ios::binary) << text;
  ::chmod(path.c_str(), static_cast<mode_t>(mode));
  return path;
}

std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string read_line(const Fd& fd) {
  std::string line;
  char byte = 0;
  while (::read(fd.get(), &byte, 1) == 1 && byte != '\n') line += byte;
  return line;
}

std::string read_to_end(const Fd& fd) {
  std::string text;
  char block[4096];
  for (ssize_t got; (got = ::read(fd.get(), block, sizeof block)) > 0;) {
    text.append(block, static_cast<std::size_t>(got));
  }
  return text;
}

Child start_ready(Command command, std::string* said) {
  auto child = command.out(Redirect::pipe()).start();
  if (!child) {
    ADD_FAILURE() << child.error().to_string();
    return {};
  }
  const std::string line = read_line(child->out());
  if (said != nullptr) {
    *said = line;
  } else {
    EXPECT_EQ(line, "ready");
  }
  return std::move(*child);
}

void in_a_fork(const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    try {
      body();
    } catch (const std::exception& e) {  // or the copy would go on with the tests that follow
      ADD_FAILURE() << e.what();
    }
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  EXPECT_EQ(status, 0) << "an assertion failed in the forked copy, or it died";
}

std::map<std::string, std::string> named_values(const std::string& text) {
  std::map<std::string, std::string> values;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (equals != std::string::npos) values[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return values;
}

StderrTo::StderrTo(int fd) : before_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
  ::dup2(fd, STDERR_FILENO);
}
StderrTo::~StderrTo() { ::dup2(before_.get(), STDERR_FILENO); }

void CleanProcessTest::SetUp() {
  // The guardian, its four descriptors and one for /dev/null stay for as long as the process: let
  // them be there.
  ASSERT_TRUE(Command{"/bin/true"}.run());
  descriptors_ = open_descriptors();
  shared_memory_ = files_in_shared_memory();
  sigprocmask(SIG_SETMASK, nullptr, &mask_);
}

void CleanProcessTest::TearDown() {
  EXPECT_EQ(open_descriptors(), descriptors_);
  EXPECT_EQ(files_in_shared_memory(), shared_memory_);
  sigset_t mask{};
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  for (int signal = 1; signal < 65; ++signal) {
    EXPECT_EQ(sigismember(&mask, signal), sigismember(&mask_, signal)) << "signal " << signal;
  }
  siginfo_t info{};
  const int left = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL);
  EXPECT_TRUE(left == -1 && errno == ECHILD) << "a child is left: pid " << info.si_pid;
}

}  // namespace tine::test
