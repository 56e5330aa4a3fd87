// SPDX-License-Identifier: MIT
#include "cli/line_length.h"

#include <algorithm>

namespace tine::cli {

LineLength::LineLength(Template& command, const JobValues& job) : command_(command) {
  using Kind = Template::Piece::Kind;
  for (const auto& segment : command.segments_) {
    std::size_t text = 0;
    for (std::size_t i = segment.first; i < segment.last; ++i) {
      const auto& piece = command.pieces_[i];
      if (piece.kind != Kind::replacement) {
        text += piece.kind == Kind::text ? piece.text.size() : 1;
        continue;
      }
      repeated_ += segment.repeats ? 0 : 1;
      if (piece.transform.about_job()) {
        facts_ += command.job_fact(piece.transform, job).size();
      } else {
        pieces_.push_back(&piece);
      }
    }
    fixed_ += text;
    repeated_ += segment.repeats ? text + 1 : 0;
  }
}

std::size_t LineLength::with(std::span<const std::string> args, std::size_t from) {
  pending_ = accepted_;
  for (const auto& value : args.subspan(from)) {
    for (const auto* piece : pieces_) pending_ += length_of(*piece, value);
  }
  std::size_t count = std::max<std::size_t>(args.size(), 1);
  return fixed_ + pending_ + count * facts_ + (count - 1) * repeated_;
}

std::size_t LineLength::length_of(const Template::Piece& piece, std::string_view value) {
  auto changed = apply(piece.transform, value, command_.scratch_);
  return command_.raw_values_ ? changed.size() : quoted_length(changed);
}

}  // namespace tine::cli
