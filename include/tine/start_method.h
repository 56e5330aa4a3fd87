// SPDX-License-Identifier: MIT
#pragma once

/// How the processes that run functions come to be.
///
///     int main(int argc, char** argv) {
///       if (auto code = tine::worker_main(argc, argv)) return *code;   // for spawn
///       ...
///       auto sum = tine::call({.start = tine::StartMethod::spawn}, add_up, numbers);
///     }
///
/// | method      | the child is                          | functions             | threads here |
/// |-------------|---------------------------------------|-----------------------|--------------|
/// | fork        | a copy of this process as it is now   | any, whatever they capture | refused |
/// | fork_server | a copy of the server, forked in time  | without captures      | do no harm   |
/// | spawn       | this program, executed anew           | without captures      | do no harm   |
///
/// A function without captures finds its arguments alone: they travel as codec.h says, plain ones
/// as their bytes. Globals are what they are at the start of the server, or of the program. Code
/// travels as the build id of its module (the program or a library) and an offset in it; a library
/// that only this process has loaded is loaded there.

#include <optional>

namespace tine {

enum class StartMethod : unsigned char { fork, fork_server, spawn };

/// The entry of workers that are made by executing this program: first in main, before any thread,
/// option or file. In such a worker it does all the work and gives the exit code; otherwise
/// nothing. Without it `spawn` fails with Error{no_worker_entry}.
[[nodiscard]] std::optional<int> worker_main(int argc, char** argv);

}  // namespace tine
