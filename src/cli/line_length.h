// SPDX-License-Identifier: MIT
/// How long a command line becomes as values are added to it, for -X, -m and -s. Adding a value
/// costs that value, not the whole line. As in GNU parallel {2} and {#} count once for each value,
/// so that a line with them may stay shorter than it could be, never longer.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/template.h"

namespace tine::cli {

class LineLength {
 public:
  /// Begins a new line. Requires: `command` outlives this object and stays where it is.
  LineLength(Template& command, const JobValues& job);

  /// The length with all of `args`, of which those before `from` were accepted earlier.
  std::size_t with(std::span<const std::string> args, std::size_t from);
  /// What with() last looked at stays on the line.
  void accept() { accepted_ = pending_; }

 private:
  std::size_t length_of(const Template::Piece& piece, std::string_view value);

  Template& command_;
  std::vector<const Template::Piece*> pieces_;  ///< those that take values
  std::size_t fixed_ = 0;                       ///< the text of a line with one value
  std::size_t facts_ = 0;                       ///< {#} and its like, for each value
  std::size_t repeated_ = 0;                    ///< what each further value adds beside itself
  std::size_t accepted_ = 0;
  std::size_t pending_ = 0;
};

}  // namespace tine::cli
