// SPDX-License-Identifier: MIT
#include "work/symbolise.h"

#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "os/demangle.h"
#include "work/debug_info.h"

namespace tine::work {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostLines = 64;

std::string hexadecimal(std::uintptr_t number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  do {
    text += kDigits[number & 0xf];
    number >>= 4;
  } while (number != 0);
  return {"0x" + std::string(text.rbegin(), text.rend())};
}

/// Shorter, and what an editor opens, for files below the working directory.
std::string relative_to_here(const std::string& file) {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  std::string path = fs::path(file).lexically_normal().string();
  if (error || here.native().size() < 2) return path;
  const std::string below = here.native() + "/";
  return path.starts_with(below) ? path.substr(below.size()) : path;
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> beginnings) {
  return std::ranges::any_of(beginnings, [&](auto begin) { return text.starts_with(begin); });
}

/// How often libraries have been loaded or unloaded: an address may mean another place since.
std::uint64_t changes_of_modules() {
  std::uint64_t changes = 0;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        *static_cast<std::uint64_t*>(result) = info->dlpi_adds + info->dlpi_subs;
        return 1;
      },
      &changes);
  return changes;
}

// ---- Which frames are the user's ----

/// What stands between launch_body() or run_order() and the user's function: ours, and the wrappers
/// of the standard library. An inlined function often has no symbol, but a file. A wrapper without
/// a file stays: where there is no debug information, the user's function may be inlined in it.
bool is_between(const Frame& frame) {
  if (starts_with_any(frame.symbol, {"_ZN4tine5child", "_ZN4tine4work", "_ZNK4tine4work",
                                     "_ZZN4tine4work", "_ZZNK4tine4work"}) ||
      (frame.symbol.empty() &&
       starts_with_any(frame.function, {"tine::child::", "tine::work::", "tine::detail::"}))) {
    return true;
  }
  if (frame.file.empty()) return false;
  return starts_with_any(frame.symbol,
                         {"_ZN4tine6detail", "_ZZN4tine6detail", "_ZN4tine4call", "_ZZN4tine4call",
                          "_ZN4tine6launch", "_ZZN4tine6launch", "_ZNKSt", "_ZNSt", "_ZSt"}) ||
         frame.file.contains("/c++/") || frame.file.ends_with("include/tine/call.h") ||
         frame.file.ends_with("include/tine/launch.h");
}

/// Cuts what is beyond the function that the child was made for: of nested children, the innermost
/// one's. Where nothing would be left, all is.
void cut_outer_end(std::vector<Frame>& frames) {
  const auto launch = std::ranges::find_if(frames, [](const Frame& frame) {
    return starts_with_any(frame.symbol,
                           {"_ZN4tine6detail11launch_body", "_ZN4tine4work9run_order"});
  });
  if (launch == frames.end()) return;
  // The first of those that are inlined in it.
  const auto group = std::ranges::find(frames, launch->address, &Frame::address);
  const auto users = std::find_if_not(std::make_reverse_iterator(group), frames.rend(), is_between);
  if (users != frames.rend()) frames.erase(users.base(), frames.end());
}

/// Raising, aborting, throwing, and what the standard library does for others.
bool is_of_runtime(const Frame& frame) {
  const std::string file = fs::path(frame.module).filename().string();
  return starts_with_any(file, {"libc.so", "libc-", "libstdc++", "libc++", "libgcc_s", "libm.so",
                                "ld-linux", "libpthread", "libasan", "libubsan", "libtsan"}) ||
         starts_with_any(frame.symbol, {"_ZNKSt", "_ZNSt", "_ZSt", "_ZN10__cxxabiv1",
                                        "_ZN9__gnu_cxx", "__cxa_", "_Unwind_", "__gxx_"}) ||
         frame.file.contains("/c++/") || frame.function.empty();
}

/// Arguments of templates fill pages: `for_each<...>(...)` says enough where it would be long.
std::string shortened(const std::string& function) {
  constexpr std::size_t kLong = 160;
  if (function.size() <= kLong) return function;
  std::string result;
  int depth = 0;
  for (std::size_t at = 0; at < function.size(); ++at) {
    const char c = function[at];
    const bool is_operator = result.ends_with("operator") || result.ends_with("operator<") ||
                             result.ends_with("operator>") || result.ends_with("operator-");
    const bool opens = c == '<' && !is_operator;
    const bool closes = c == '>' && !is_operator && depth > 0 && function[at - 1] != '-';
    if (closes) --depth;
    if (depth == 0) result += c;
    if (opens && depth++ == 0) result += "...";
  }
  return depth == 0 ? result : function;
}

/// What has been asked before: in a run, many children fail at the same few places, and to find
/// those in the debug information takes milliseconds.
class KnownFrames {
 public:
  std::vector<Frame> of(std::span<const std::uintptr_t> addresses) {
    forget_what_is_outdated();
    std::optional<DebugInfo> info;
    std::vector<Frame> frames;
    for (const std::uintptr_t address : addresses) {
      const std::vector<Frame>& found = look_up(address, info);
      frames.insert(frames.end(), found.begin(), found.end());
    }
    return frames;
  }

 private:
  static constexpr std::size_t kMost = 4096;

  void forget_what_is_outdated() {
    const std::uint64_t changes = changes_of_modules();
    if (changes == changes_ && frames_.size() < kMost) return;
    changes_ = changes;
    frames_.clear();
  }

  const std::vector<Frame>& look_up(std::uintptr_t address, std::optional<DebugInfo>& info) {
    std::vector<Frame>& kept = frames_[address];
    if (!kept.empty()) return kept;
    if (!info) info.emplace();
    std::vector<Frame> fresh;
    info->add_frames(address, fresh);
    for (Frame& frame : fresh) complete(frame);
    return kept = std::move(fresh);
  }

  static void complete(Frame& frame) {
    if (frame.function.empty()) frame.function = os::demangled(frame.symbol.c_str());
    frame.function = shortened(frame.function);
    if (!frame.file.empty()) frame.file = relative_to_here(frame.file);
  }

  std::unordered_map<std::uintptr_t, std::vector<Frame>> frames_;
  std::uint64_t changes_ = 0;
};

}  // namespace

std::vector<Frame> symbolise(std::span<const std::uintptr_t> addresses) {
  static std::mutex one_at_a_time;
  static KnownFrames& known = *new KnownFrames;  // never destroyed: children may still fail
  std::vector<Frame> frames;
  {
    const std::lock_guard lock(one_at_a_time);
    frames = known.of(addresses);
  }
  cut_outer_end(frames);
  return frames;
}

std::string to_text(const Frame& frame) {
  const std::string in_module = frame.module.empty() ? hexadecimal(frame.address)
                                                     : fs::path(frame.module).filename().string() +
                                                           "+" + hexadecimal(frame.offset);
  if (frame.function.empty()) return in_module;
  if (frame.file.empty()) return frame.function + " (" + in_module + ")";
  return frame.function + " at " + frame.file + ":" + std::to_string(frame.line);
}

std::string to_text(std::span<const Frame> frames) {
  std::string text;
  for (std::size_t i = 0; i < std::min(frames.size(), kMostLines); ++i) {
    if (i > 0) text += '\n';
    text += "#" + std::to_string(i) + " " + to_text(frames[i]);
  }
  return text;
}

std::string backtrace_text(std::span<const std::uintptr_t> addresses) {
  return to_text(symbolise(addresses));
}

std::string place_text(std::span<const Frame> frames) {
  if (frames.empty()) return {};
  const auto users = std::ranges::find_if_not(frames, is_of_runtime);
  return to_text(users != frames.end() ? *users : frames.front());
}

void tell_where(Failure& failure, std::span<const std::uintptr_t> addresses) try {
  const std::vector<Frame> frames = symbolise(addresses);
  failure.backtrace = to_text(frames);
  failure.place = place_text(frames);
} catch (const std::bad_alloc&) {
  // Short of memory, the failure is worth more than its place.
}

}  // namespace tine::work
