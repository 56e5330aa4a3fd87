// SPDX-License-Identifier: MIT
#pragma once

/// What a Command holds: plain data, filled by the methods in command.h and read by the code that
/// launches. Not part of the interface; it may change in any release.

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tine/cancel.h"

namespace tine {

/// In which process group a command runs, and so who gets the signals of the terminal's keys.
enum class ProcessGroup : unsigned char {
  automatic,  ///< its own; the caller's where its stdin is the terminal, or it would stop (SIGTTIN)
  own,        ///< its own in any case: it dies as a whole, and ^C does not reach it
  callers,    ///< the caller's: ^C reaches it, and its tree is ended by walking /proc
};

}  // namespace tine

namespace tine::detail {

struct RedirectSpec {
  enum class Kind : std::uint8_t {
    inherit,
    null,
    file,
    pipe,
    parent_fd,
    own_fd,
    child_fd,
    bytes,
    pseudo_terminal,
  };
  Kind kind = Kind::inherit;
  int number = -1;     ///< parent_fd, own_fd: the parent's; child_fd: the child's
  int open_flags = 0;  ///< file
  std::string text{};  ///< file: path; bytes: what to read
};

struct EnvironmentChange {
  std::string name;
  std::optional<std::string> value;  ///< nothing: remove
};

struct ResourceLimit {
  int resource;
  rlimit limit;
};

struct CommandSpec {
  std::vector<std::string> argv{};
  std::optional<std::string> program{};  ///< what is executed, when not argv[0]
  std::string cwd{};
  bool clear_environment = false;
  std::vector<EnvironmentChange> environment{};
  std::vector<std::pair<int, RedirectSpec>> redirects{};  ///< by the child's fd

  std::optional<mode_t> umask{};
  std::optional<int> nice{};
  std::optional<int> io_priority{};
  std::optional<int> oom_score{};
  std::vector<int> cpus{};
  std::vector<ResourceLimit> limits{};
  std::optional<uid_t> uid{};
  std::optional<gid_t> gid{};
  std::optional<std::vector<gid_t>> groups{};
  std::optional<std::pair<unsigned short, unsigned short>> terminal_size{};  ///< rows, columns

  ProcessGroup process_group = ProcessGroup::automatic;
  bool new_session = false;
  bool foreground = false;
  bool detach = false;
  bool leave_descendants = false;
  bool unchecked = false;
  bool truncate_at_limit = false;

  std::chrono::nanoseconds timeout{0};
  std::chrono::milliseconds grace{2000};
  std::size_t capture_limit = SIZE_MAX;
  CancelToken cancel{};
};

}  // namespace tine::detail
