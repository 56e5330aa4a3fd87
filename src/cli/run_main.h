// SPDX-License-Identifier: MIT
#pragma once

/// `tine run`, also under the name `parallel`.

#include <string>
#include <vector>

namespace tine::cli {

/// `words`: without the command's own name. Gives the exit code.
int run_main(const std::string& name, bool drop_in, bool stdout_closed,
             std::vector<std::string> words);

}  // namespace tine::cli
