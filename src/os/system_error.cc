// SPDX-License-Identifier: MIT
#include "os/system_error.h"

#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace tine {

namespace {

const char* action_of(Stage stage) {
  switch (stage) {
    case Stage::prepare: return "cannot prepare";
    case Stage::open: return "cannot open";
    case Stage::pipe: return "cannot make a pipe";
    case Stage::pseudo_terminal: return "cannot make a pseudo-terminal";
    case Stage::guardian: return "cannot start the guardian";
    case Stage::fork: return "cannot create a process for";
    case Stage::session: return "cannot make a session for";
    case Stage::process_group: return "cannot set the process group of";
    case Stage::foreground: return "cannot hand the terminal to";
    case Stage::cwd: return "cannot change directory to";
    case Stage::resource_limit: return "cannot set a resource limit of";
    case Stage::affinity: return "cannot set the CPU affinity of";
    case Stage::nice: return "cannot set the priority of";
    case Stage::oom_score: return "cannot set the OOM score of";
    case Stage::groups: return "cannot set the groups of";
    case Stage::gid: return "cannot set the group id of";
    case Stage::uid: return "cannot set the user id of";
    case Stage::descriptors: return "cannot set up the descriptors of";
    case Stage::exec: return "cannot execute";
    case Stage::send: return "cannot send a signal to";
    case Stage::wait: return "cannot wait for";
    case Stage::read: return "cannot read";
    case Stage::write: return "cannot write";
    case Stage::encode: return "cannot encode";
    case Stage::decode: return "cannot decode";
    case Stage::proc: return "cannot look at process";
  }
  return "failed";
}

/// For errors that no system call made.
const char* kind_text(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::not_found: return "it cannot be found";
    case ErrorKind::invalid_argument: return "the request makes no sense";
    case ErrorKind::reaped_elsewhere: return "its status went to another wait of this process";
    case ErrorKind::output_limit: return "more output than the capture limit";
    case ErrorKind::timed_out: return "the time was up";
    case ErrorKind::cancelled: return "cancelled";
    case ErrorKind::not_owner: return "the handle belongs to another process";
    case ErrorKind::threads_running: return "this process has several threads";
    case ErrorKind::captures: return "the function needs this process's memory";
    case ErrorKind::fork_server_lost: return "there is no fork server";
    case ErrorKind::no_worker_entry: return "this program has no worker entry";
    case ErrorKind::no_such_process: return "there is no such process";
    case ErrorKind::undecodable: return "the bytes are not such a value";
    case ErrorKind::unencodable: return "the value cannot travel";
    default: return "unknown error";
  }
}

std::string first_line(const std::string& text) {
  const auto begin = text.find_first_not_of("\r\n \t");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_first_of("\r\n", begin) - begin);
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of("\r\n \t");
  if (end == std::string::npos) return {};
  const auto begin = text.find_last_of("\r\n", end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

}  // namespace

std::string Error::to_string() const {
  std::string text = action_of(stage);
  if (!subject.empty()) text += " '" + subject + "'";
  text += ": ";
  text +=
      errno_value != 0 ? std::strerror(errno_value) : kind_text(kind);  // NOLINT: glibc's is safe
  if (!hint.empty()) text += ": " + hint;
  return text;
}

std::string_view to_string(Cause cause) noexcept {
  switch (cause) {
    case Cause::threw: return "threw";
    case Cause::exited: return "exited";
    case Cause::signaled: return "signaled";
    case Cause::timed_out: return "timed out";
    case Cause::out_of_memory: return "out of memory";
    case Cause::cancelled: return "cancelled";
    case Cause::lost: return "lost";
    case Cause::undecodable: return "undecodable";
    case Cause::not_started: return "not started";
  }
  return "unknown";
}

std::string Failure::to_string() const {
  if (cause == Cause::not_started && error) return error->to_string();
  std::string text = item ? "item " + std::to_string(*item) + ": " : std::string{};
  if (!subject.empty()) text += "'" + subject + "' ";
  const bool by_itself = cause == Cause::exited || cause == Cause::signaled;
  text += by_itself && status ? status->to_string() : std::string(tine::to_string(cause));
  if (elapsed.count() > 0) text += " after " + os::duration_text(elapsed);
  if (attempts > 1) text += " (attempt " + std::to_string(attempts) + ")";
  if (!type.empty()) text += ": " + type;
  if (!message.empty()) text += ": " + (type.empty() ? message : first_line(message));
  if (!place.empty()) text += " in " + place;
  if (error) text += ": " + error->to_string();
  if (const auto said = last_line(stderr_tail); !said.empty()) text += ": " + said;
  return text;
}

Failure detail::nothing_to_get(const std::string& name) {
  Failure failure;
  failure.subject = name.empty() ? "a function" : name;
  failure.error = Error{ErrorKind::invalid_argument, 0, Stage::wait, failure.subject,
                        "get() has been called before, or the future has been moved"};
  return failure;
}

namespace os {

ErrorKind kind_of(int errno_value) noexcept {
  switch (errno_value) {
    case ENOENT: return ErrorKind::not_found;
    case EISDIR: return ErrorKind::is_directory;
    case ENOEXEC: return ErrorKind::bad_format;
    case E2BIG: return ErrorKind::argument_list_too_long;
    case EPERM:
    case EACCES: return ErrorKind::not_permitted;
    case EMFILE:
    case ENFILE: return ErrorKind::too_many_files;
    case EAGAIN: return ErrorKind::too_many_processes;
    case ENOMEM: return ErrorKind::out_of_memory;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ErrorKind::no_space;
    case EPIPE: return ErrorKind::broken_pipe;
    case ESRCH: return ErrorKind::no_such_process;
    case ECHILD: return ErrorKind::reaped_elsewhere;
    case EINVAL: return ErrorKind::invalid_argument;
    case ETIMEDOUT: return ErrorKind::timed_out;
    case ECANCELED: return ErrorKind::cancelled;
    default: return ErrorKind::system;
  }
}

namespace {

std::string limit_text(rlim_t value) {
  return value == RLIM_INFINITY ? "unlimited" : std::to_string(value);
}

std::string limits_hint(int resource, const char* name) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) return {};
  return std::string(name) + " is " + limit_text(limit.rlim_cur) + ", at most " +
         limit_text(limit.rlim_max);
}

}  // namespace

Error make_error(Stage stage, int errno_value, std::string subject) {
  Error error{kind_of(errno_value), errno_value, stage, std::move(subject), {}};
  if (errno_value == EMFILE) error.hint = limits_hint(RLIMIT_NOFILE, "RLIMIT_NOFILE");
  if (errno_value == EFBIG) error.hint = limits_hint(RLIMIT_FSIZE, "RLIMIT_FSIZE");
  if (errno_value == ENFILE) error.hint = "the whole system is out of open files (fs.file-max)";
  if (errno_value == EAGAIN && stage == Stage::fork) {
    error.hint = limits_hint(RLIMIT_NPROC, "RLIMIT_NPROC") +
                 "; or the pids limit of the cgroup, or kernel.pid_max, is used up";
  }
  return error;
}

std::string duration_text(std::chrono::nanoseconds duration) {
  const double ns = static_cast<double>(duration.count());
  char text[48];
  if (ns >= 60e9) {
    const std::int64_t seconds = duration.count() / 1'000'000'000;  // centuries: above an int
    std::snprintf(text, sizeof text, "%lld min %lld s", static_cast<long long>(seconds / 60),
                  static_cast<long long>(seconds % 60));
  } else if (ns >= 1e9) {
    std::snprintf(text, sizeof text, "%.3g s", ns / 1e9);
  } else if (ns >= 1e6) {
    std::snprintf(text, sizeof text, "%.3g ms", ns / 1e6);
  } else {
    std::snprintf(text, sizeof text, "%.3g us", ns / 1e3);
  }
  return text;
}

}  // namespace os
}  // namespace tine
