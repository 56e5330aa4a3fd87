// SPDX-License-Identifier: MIT
#include "command/words.h"

#include <algorithm>

namespace tine::command {
namespace {

bool is_plain(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-+=./:,@%").find(c) != std::string_view::npos;
}

void append_quoted(std::string& to, std::string_view word) {
  if (!word.empty() && std::ranges::all_of(word, is_plain)) {
    to += word;
    return;
  }
  to += '\'';
  for (const char c : word) {
    if (c == '\'') {
      to += "'\\''";
    } else {
      to += c;
    }
  }
  to += '\'';
}

}  // namespace

std::string quoted(std::span<const std::string> words) {
  std::string text;
  for (const auto& word : words) {
    if (!text.empty()) text += ' ';
    append_quoted(text, word);
  }
  return text;
}

std::string_view base_name(std::string_view path) noexcept {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace tine::command
