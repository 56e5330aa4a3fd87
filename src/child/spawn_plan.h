// SPDX-License-Identifier: MIT
#pragma once

/// Everything a new process is told, as plain data made before the clone: the code between clone
/// and exec (after_fork.cc) reads it and allocates nothing.
///
/// Owner: pointers lead into memory of whoever filled the plan, alive until spawn() returns.

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "child/guardian_table.h"
#include "tine/error.h"

namespace tine::child {

/// What is known of a descriptor before it is handed on.
enum class FdOrigin : unsigned char {
  ours,       ///< opened by this library: it is there, in blocking mode
  given,      ///< named by the user: its mode may have been changed, and it may close on exec
  inherited,  ///< the parent's own 0, 1 or 2, left as it is: it may be missing as well
};

/// `source` (in the parent) becomes `target` (in the child). Equal numbers: kept, not closed on
/// exec.
struct FdMapping {
  int source;
  int target;
  FdOrigin origin;
};

struct LimitChange {
  int resource;
  rlimit limit;
};

struct SpawnPlan {
  // What to execute: the first of `candidates` that exists, or the file open at `exec_fd`.
  const char* const* candidates = nullptr;
  int exec_fd = -1;
  char* const* argv = nullptr;
  char* const* envp = nullptr;

  FdMapping* mappings = nullptr;  ///< sorted by target, each target once; used up by the child
  std::size_t mapping_count = 0;
  const int* kept = nullptr;  ///< targets above 2, ascending: all other fds above 2 are closed
  std::size_t kept_count = 0;

  bool new_session = false;
  bool set_group = false;
  pid_t group = 0;           ///< with set_group: 0 makes its own
  int foreground_tty = -1;   ///< a terminal of the parent that the child's group takes over
  int controlling_tty = -1;  ///< with new_session: becomes the controlling terminal
  const char* cwd = nullptr;
  bool set_umask = false;
  mode_t umask = 0;
  bool set_nice = false;
  int nice = 0;
  bool set_io_priority = false;
  int io_priority = 0;              ///< as ioprio_set(2) takes it
  const char* oom_score = nullptr;  ///< text for /proc/self/oom_score_adj
  const unsigned long* cpu_mask = nullptr;
  std::size_t cpu_mask_bytes = 0;
  const LimitChange* limits = nullptr;
  std::size_t limit_count = 0;
  bool set_groups = false;
  const gid_t* groups = nullptr;
  std::size_t group_count = 0;
  bool set_gid = false;
  gid_t gid = 0;
  bool set_uid = false;
  uid_t uid = 0;

  GuardianSlot* slot = nullptr;  ///< where the child's pid is stored before it runs anything
  int report_fd = -1;            ///< fork fallback: where a SpawnReport is written
};
static_assert(std::is_trivially_copyable_v<SpawnPlan>, "the child gets plain data alone");

/// Why the child could not become the program.
struct SpawnReport {
  Stage stage = Stage::prepare;
  int errno_value = 0;       ///< 0: it has become the program
  std::uint32_t detail = 0;  ///< which candidate, limit or fd
};
static_assert(std::is_trivially_copyable_v<SpawnReport>);

}  // namespace tine::child
