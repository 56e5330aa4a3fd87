// SPDX-License-Identifier: MIT
#include "os/own_pid.h"

#include <unistd.h>

#include "os/wiped_pages.h"

namespace tine::os {
namespace {

constinit WipedWord<pid_t> pid_word;

}  // namespace

pid_t own_pid() noexcept {
  auto& word = *pid_word;
  if (pid_word.is_ordinary(word)) return ::getpid();  // a child would find its parent's there
  const pid_t known = word.load(std::memory_order_relaxed);
  if (known != 0) return known;
  const pid_t self = ::getpid();
  word.store(self, std::memory_order_relaxed);
  return self;
}

}  // namespace tine::os
