// SPDX-License-Identifier: MIT

/// A system where processes cannot be forked, only executed: calls and maps of functions that the
/// program has, by spawn. A filter of this process and all of its children lets through what
/// begins a program (clone with CLONE_VM, as vfork does) and refuses what copies a process.
///
/// Python:  multiprocessing.set_start_method("spawn")
///          with Pool(2) as pool: pool.map(root_of, numbers)

#include <tine/tine.h>

#include <sched.h>
#include <seccomp.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/// From now on, for ever: there is no fork() here.
bool forbid_fork() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  // A library cannot see the arguments of clone3, so it has to do without.
  int refused = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  const scmp_arg_cmp copies{0, SCMP_CMP_MASKED_EQ, CLONE_VM, 0};
  refused |= seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, &copies);
#ifdef __NR_fork
  refused |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fork), 0);
#endif
  refused |= seccomp_load(filter);
  seccomp_release(filter);
  return refused == 0;
}

double root_of(int number) {
  if (number < 0) throw std::domain_error("negative");
  if (number == 13) std::abort();
  return std::sqrt(number);
}

}  // namespace

int main(int argc, char** argv) {
  if (auto code = tine::worker_main(argc, argv)) return *code;
  if (!forbid_fork()) return 1;
  const auto pid = ::fork();
  if (pid == 0) ::_exit(0);
  std::printf("fork(): %s\n", pid < 0 ? std::strerror(errno) : "works");

  const auto forked = tine::call([] { return 1; });
  std::printf("call, forked: %s\n", forked.error().to_string().c_str());
  const auto spawned = tine::call({.start = tine::StartMethod::spawn}, root_of, 2);
  std::printf("call, spawned: %.3f\n", *spawned);

  tine::Pool pool{{.workers = 2, .start = tine::StartMethod::spawn}};
  const std::vector<int> numbers{1, 4, -9, 13, 16, 25};
  const auto roots = pool.map(numbers, root_of);
  for (const auto& [number, root] : tine::zip(numbers, roots)) {
    if (root) {
      std::printf("map: root of %d is %.0f\n", number, *root);
    } else {
      std::printf("map: root of %d: %s\n", number,
                  std::string(to_string(root.error().cause)).c_str());
    }
  }
}
