// SPDX-License-Identifier: MIT
#include "os/temporary_directory.h"

#include <cstdlib>

namespace tine::os {

std::string temporary_directory() {
  const char* dir = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): read only
  return dir != nullptr && *dir != '\0' ? dir : "/tmp";
}

}  // namespace tine::os
