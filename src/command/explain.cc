// SPDX-License-Identifier: MIT

/// What a failed launch means, in words that say what to do.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "command/preparation.h"
#include "os/io.h"
#include "os/system_error.h"
#include "tine/command.h"

namespace tine::command {
namespace {

enum class FileKind : unsigned char { absent, directory, other, regular };

FileKind kind_of_file(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return FileKind::absent;
  if (S_ISDIR(file.st_mode)) return FileKind::directory;
  return S_ISREG(file.st_mode) ? FileKind::regular : FileKind::other;
}

const std::string* first_existing(const std::vector<std::string>& paths) {
  for (const auto& path : paths) {
    if (kind_of_file(path) != FileKind::absent) return &path;
  }
  return nullptr;
}

std::string first_bytes(const std::string& path) {
  const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  char bytes[256];
  const ssize_t got = file ? os::read_retry(file.get(), bytes, sizeof bytes) : 0;
  return {bytes, static_cast<std::size_t>(got > 0 ? got : 0)};
}

/// The program that a script names in its first line, as the kernel reads it.
std::string interpreter_of(const std::string& path) {
  const std::string head = first_bytes(path);
  if (!head.starts_with("#!")) return {};
  const auto begin = head.find_first_not_of(" \t", 2);
  if (begin == std::string::npos) return {};
  std::string name = head.substr(begin, head.find_first_of(" \t\n", begin) - begin);
  // The kernel takes a CR for a part of the name: shown, because that is why it is not found.
  if (name.ends_with('\r')) name.replace(name.size() - 1, 1, "\\r");
  return name;
}

/// `/bin:/usr/bin`, or the first of many: a long PATH would bury what the message says.
std::string shown_path(std::string_view path) {
  constexpr std::size_t kShown = 3;
  std::size_t end = 0;
  for (std::size_t shown = 0; shown < kShown; ++shown) {
    end = path.find(':', shown == 0 ? 0 : end + 1);
    if (end == std::string_view::npos) return std::string(path);
  }
  const auto more = std::ranges::count(path.substr(end), ':');
  return std::string(path.substr(0, end)) + " and " + std::to_string(more) + " more";
}

void explain_absence(Error& error, const CommandSpec& spec, const std::vector<std::string>& paths) {
  if (const std::string* path = first_existing(paths)) {
    error.kind = ErrorKind::missing_interpreter;
    const std::string interpreter = interpreter_of(*path);
    error.hint = interpreter.empty()
                     ? "the file exists, but the loader that it asks for does not"
                     : "the file exists, but its interpreter '" + interpreter + "' does not";
    const std::string head = first_bytes(*path);
    const auto line_end = head.find('\n');
    if (!interpreter.empty() && line_end != std::string::npos && head[line_end - 1] == '\r') {
      error.hint += " (its first line ends in CR LF: convert it to Unix line ends)";
    }
    return;
  }
  if (error.subject.find('/') != std::string::npos || error.subject.empty()) return;
  const char* path = variable_of(spec, "PATH");
  error.hint = "not in PATH (" + shown_path(path != nullptr ? path : "/bin:/usr/bin") + ")";
}

void explain_refusal(Error& error, const std::string& path) {
  switch (kind_of_file(path)) {
    case FileKind::directory:
      error.kind = ErrorKind::is_directory;
      error.hint = "it is a directory";
      return;
    case FileKind::regular:
      if (::access(path.c_str(), X_OK) == 0) break;
      error.kind = ErrorKind::not_executable;
      error.hint = "the file is not executable (chmod +x makes it so)";
      return;
    case FileKind::absent:
    case FileKind::other: break;
  }
  error.hint =
      "a directory on the way is closed to this user, the file system is mounted noexec, "
      "or the interpreter is not executable";
}

std::size_t bytes_of(const char* const* words) {
  std::size_t bytes = 0;
  for (; *words != nullptr; ++words) bytes += std::strlen(*words) + 1 + sizeof(char*);
  return bytes;
}

/// The kernel takes a quarter of the stack limit in all, at most 6 MiB, and 32 pages per string.
/// Source: execve(2), "Limits on size of arguments and environment"
void explain_size(Error& error, const child::SpawnPlan& plan) {
  constexpr std::size_t kPerString = 131072;
  std::size_t longest = 0;
  for (char* const* word = plan.argv; *word != nullptr; ++word) {
    longest = std::max(longest, std::strlen(*word));
  }
  error.hint = std::to_string(bytes_of(plan.argv)) +
               " bytes of arguments (the longest: " + std::to_string(longest) + ") and " +
               std::to_string(bytes_of(plan.envp)) + " of environment, where " +
               std::to_string(::sysconf(_SC_ARG_MAX)) + " are allowed in all and " +
               std::to_string(kPerString) + " for each";
}

void explain_exec(Error& error, const child::SpawnReport& report, const CommandSpec& spec,
                  const Preparation& preparation) {
  const auto& paths = preparation.candidates();
  const std::string path = report.detail < paths.size() ? paths[report.detail] : error.subject;
  switch (report.errno_value) {
    case ENOENT:
    case ENOTDIR: return explain_absence(error, spec, paths);
    case EACCES: return explain_refusal(error, path);
    case ENOEXEC:
      error.kind = ErrorKind::bad_format;
      error.hint = "neither a program for this machine nor a script with a #! line";
      return;
    case E2BIG: return explain_size(error, preparation.plan);
    case ETXTBSY: error.hint = "somebody has the file open for writing"; return;
    case EAGAIN:  // set*id has gone above RLIMIT_NPROC, which execve(2) finds out
      error.hint = "its user already has as many processes as RLIMIT_NPROC allows";
      return;
    case ENOMEM: error.hint = "or a memory limit of the child is too low for the program"; return;
    default: return;
  }
}

}  // namespace

Error explain(const child::SpawnReport& report, const CommandSpec& spec,
              const Preparation& preparation) {
  std::string subject = spec.program ? *spec.program : spec.argv[0];
  if (report.stage == Stage::cwd) subject = spec.cwd;
  Error error = os::make_error(report.stage, report.errno_value, std::move(subject));
  if (report.stage == Stage::exec) explain_exec(error, report, spec, preparation);
  if (report.stage == Stage::descriptors) {
    error.hint = "descriptor " + std::to_string(report.detail);
  }
  if (report.stage == Stage::resource_limit) {
    error.hint = "resource " + std::to_string(report.detail) +
                 (report.errno_value == EPERM ? ": only root may raise a hard limit" : "");
  }
  return error;
}

}  // namespace tine::command

std::expected<std::filesystem::path, tine::Error> tine::find_program(std::string_view name) {
  Command command{name};
  command::Preparation preparation;
  if (auto done = preparation.prepare(command.spec(), {}); !done) {
    return std::unexpected(done.error());
  }
  child::SpawnReport refusal{Stage::exec, ENOENT, 0};
  for (std::uint32_t i = 0; i < preparation.candidates().size(); ++i) {
    const std::string& path = preparation.candidates()[i];
    const auto kind = command::kind_of_file(path);
    if (kind == command::FileKind::absent) continue;
    if (kind == command::FileKind::regular && ::access(path.c_str(), X_OK) == 0) return path;
    if (refusal.errno_value == ENOENT) refusal = {Stage::exec, EACCES, i};
  }
  return std::unexpected(command::explain(refusal, command.spec(), preparation));
}
