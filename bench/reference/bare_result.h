// SPDX-License-Identifier: MIT
/// The least that a large result costs: a forked child copies it into memory that it shares with
/// its parent, says so by a byte in a pipe, and the parent reads it there. The child ends while
/// nobody waits for it.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "rounds.h"

namespace bench {

class SharedBytes {
 public:
  explicit SharedBytes(std::size_t size)
      : size_(size),
        at_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) fail("mmap");
  }
  SharedBytes(const SharedBytes&) = delete;
  SharedBytes& operator=(const SharedBytes&) = delete;
  ~SharedBytes() { munmap(at_, size_); }
  [[nodiscard]] void* data() const { return at_; }
  /// So that this process has a page table entry for each page.
  void touch() const { std::memset(at_, 1, size_); }

 private:
  std::size_t size_;
  void* at_;
};

/// In the child `make()` gives a vector, which `use()` reads in the parent. `warm`: the child has
/// touched `memory` before.
template <class Make, class Use>
void bare_result(const SharedBytes& memory, bool warm, const Make& make, const Use& use) {
  int ends[2];
  if (pipe(ends) != 0) fail("pipe");
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    if (warm) memory.touch();
    const auto value = make();
    std::memcpy(memory.data(), value.data(), value.size() * sizeof(value[0]));
    _exit(write(ends[1], "", 1) == 1 ? 0 : 1);
  }
  close(ends[1]);
  char byte = 0;
  if (read(ends[0], &byte, 1) != 1) fail("a bare child");
  use(memory.data());
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail("a bare child");
  close(ends[0]);
}

}  // namespace bench
