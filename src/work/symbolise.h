// SPDX-License-Identifier: MIT
#pragma once

/// From addresses of a child to lines of text, in the parent, which has the same image.
///
///     tell_where(failure, crash->addresses());
///     // #0 tine::parse_chunk(int) at src/parse.cc:88
///     // #1 main::<lambda> at main.cc:12
///
/// Libraries that the child alone has loaded are unknown here: their addresses stay numbers.
/// Without libdw (see CMakeLists.txt) frames have the names of the dynamic symbols and no lines.
/// Cost: a place that is new needs the debug information, which is read anew (40 ms for a small
/// program, more for a large one) and let go of; what came out is kept. Files on this machine are
/// all that is looked at, never a debuginfod server.
/// Threads: safe, one at a time. After fork: safe, unless another thread of the parent was in here,
/// with ThreadPolicy::allow: its lock is held in that child for ever.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tine/error.h"

namespace tine::work {

struct Frame {
  std::uintptr_t address = 0;
  std::string symbol{};    ///< as the linker knows it; empty for many an inlined function
  std::string function{};  ///< as the programmer knows it; empty: unknown
  std::string file{};      ///< below the working directory relative to it; empty: unknown
  int line = 0;
  std::string module{};       ///< path of the program or library; empty: none is there
  std::uintptr_t offset = 0;  ///< in the module, as addr2line(1) takes it
};

/// The frames of `addresses`, innermost first, and of what was inlined there. Those at the outer
/// end that are ours, and those of the parent beyond them, are left out.
[[nodiscard]] std::vector<Frame> symbolise(std::span<const std::uintptr_t> addresses);

/// `parse_chunk(int) at src/parse.cc:88`, `parse_chunk(int) (libx.so+0x1234)`, `libx.so+0x1234`,
/// `0x1234`: as much as is known.
[[nodiscard]] std::string to_text(const Frame& frame);

/// One frame a line, with its number; at most 64 lines, the last without a newline.
[[nodiscard]] std::string to_text(std::span<const Frame> frames);
[[nodiscard]] std::string backtrace_text(std::span<const std::uintptr_t> addresses);

/// Whom to name in one line: the innermost frame that is not of the C or C++ runtime, or else the
/// innermost one. Empty when there is none.
[[nodiscard]] std::string place_text(std::span<const Frame> frames);

/// What a failure says of where it was.
void tell_where(Failure& failure, std::span<const std::uintptr_t> addresses);

}  // namespace tine::work
