// SPDX-License-Identifier: MIT
#include "tine/exit_status.h"

#include <signal.h>
#include <string.h>

namespace tine {

std::string signal_name(int number) {
  if (number >= SIGRTMIN && number <= SIGRTMAX) {
    return number == SIGRTMIN ? "SIGRTMIN" : "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
  }
  if (const char* name = ::sigabbrev_np(number)) return std::string("SIG") + name;
  return "signal " + std::to_string(number);
}

std::string ExitStatus::to_string() const {
  if (!signaled_) return "exited with " + std::to_string(number_);
  std::string text = "killed by signal " + std::to_string(number_) + " (" + signal_name(number_);
  if (core_dumped_) text += ", core dumped";
  return text + ")";
}

}  // namespace tine
