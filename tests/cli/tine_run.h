// SPDX-License-Identifier: MIT
#pragma once

/// The built command as a child, and looking for what it may have left behind.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine::test {

/// `tine run WORDS...`, bounded to a minute, with a clean environment of its own.
inline Command tine_run(std::vector<std::string> words) {
  std::vector<std::string> all{TINE_COMMAND, "run"};
  all.insert(all.end(), std::make_move_iterator(words.begin()),
             std::make_move_iterator(words.end()));
  return Command::of(std::move(all))
      .env_remove("PARALLEL")
      .env("PARALLEL_SHELL", "/bin/sh")
      .in(Redirect::null())
      .timeout(std::chrono::minutes(1));
}

/// How a whole run ended.
struct RunEnd {
  ExitStatus status{};
  std::string out{};
  std::string err{};
  [[nodiscard]] int code() const { return status.code().value_or(-1); }
};

inline RunEnd end_of(Command command) {
  auto output = command.unchecked().capture();
  if (!output) {
    ADD_FAILURE() << output.error().to_string();
    return {};
  }
  return {output->status, std::move(output->out), std::move(output->err)};
}

/// In the background, and nobody but it tidies up after it: what it leaves is seen.
inline Child start_alone(Command command) {
  auto child = command.unchecked().leave_descendants().start();
  if (!child) {
    ADD_FAILURE() << child.error().to_string();
    return {};
  }
  return std::move(*child);
}

/// Waits for the end, 10 s at most.
inline ExitStatus status_of(Child& child) {
  const auto finished = child.wait_for(std::chrono::seconds(10));
  if (!finished || !*finished) {
    ADD_FAILURE() << "it did not end";
    return {};
  }
  return (*finished)->status;
}

/// The process beneath `supervisor` that runs the jobs; 0 when there is none yet.
inline pid_t runner_of(pid_t supervisor) {
  const auto tree = process_tree(supervisor);
  if (!tree) return 0;
  for (const auto& process : *tree) {
    if (process.parent == supervisor && process.name == "tine") return process.pid;
  }
  return 0;
}

/// The guardian of the runner: executed from memory, and a child of the subreaper.
inline pid_t guardian_of(pid_t supervisor) {
  const auto tree = process_tree(supervisor);
  if (!tree) return 0;
  for (const auto& process : *tree) {
    std::error_code gone;
    const auto program =
        std::filesystem::read_symlink("/proc/" + std::to_string(process.pid) + "/exe", gone);
    if (process.parent == supervisor && program.string().find("memfd:") != std::string::npos)
      return process.pid;
  }
  return 0;
}

inline char state_of(pid_t pid) {
  const auto info = process_info(pid);
  return info ? info->state : 'X';
}

inline std::size_t files_in(const std::string& directory) {
  const std::filesystem::directory_iterator entries(directory);
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

inline bool exists(const std::string& path) { return std::filesystem::exists(path); }

/// Processes that tell their pids through files. Whatever is left of them goes with this.
class Pids {
 public:
  explicit Pids(const TemporaryDirectory& directory) : directory_(directory) {}
  ~Pids() {
    for (const pid_t pid : seen_) ::kill(pid, SIGKILL);
  }
  Pids(const Pids&) = delete;
  Pids& operator=(const Pids&) = delete;

  /// Shell text that writes the pid of the shell to the file `name`, whole.
  [[nodiscard]] std::string tell(const std::string& name) const {
    const std::string path = directory_ / name;
    return "echo $$ >" + path + ".new; mv " + path + ".new " + path + "; ";
  }
  /// Waits for the file.
  pid_t of(const std::string& name) {
    const std::string path = directory_ / name;
    if (!eventually([&] { return exists(path); })) {
      ADD_FAILURE() << "no pid of " << name;
      return 0;
    }
    seen_.push_back(std::stoi(read_text(path)));
    return seen_.back();
  }

 private:
  const TemporaryDirectory& directory_;
  std::vector<pid_t> seen_;
};

}  // namespace tine::test
