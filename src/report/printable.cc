// SPDX-License-Identifier: MIT
#include "report/printable.h"

#include <algorithm>

namespace tine::report {

namespace {

/// The length of the character at the front by its first byte; 0: no character begins like that.
std::size_t length_by_lead(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

/// The length of the UTF-8 character at the front of `text`; 0 when it is none.
std::size_t character_length(std::string_view text) {
  const std::size_t length = length_by_lead(static_cast<unsigned char>(text[0]));
  if (length > text.size()) return 0;
  const bool whole =
      std::ranges::all_of(text.substr(0, length).substr(std::min<std::size_t>(length, 1)),
                          [](char c) { return (c & 0xc0) == 0x80; });
  return whole ? length : 0;
}

/// C0, DEL and C1: U+0080 to U+009F, which terminals obey as well.
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (first < 0x20 || first == 0x7f) return true;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

std::string printable(std::string_view text, std::size_t width) {
  std::string line;
  for (std::size_t shown = 0; !text.empty(); ++shown) {
    if (shown == width) return line + "...";
    const std::size_t length = character_length(text);
    if (length == 0) {
      line += '?';
    } else if (is_control(text)) {
      line += ' ';
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return line;
}

}  // namespace tine::report
