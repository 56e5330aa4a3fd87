// SPDX-License-Identifier: MIT
#include "cli/option_values.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

namespace tine::cli {
namespace {

std::unexpected<std::string> refused(std::string_view text, std::string_view accepted) {
  return std::unexpected("'" + std::string(text) + "' is not accepted; give " +
                         std::string(accepted));
}

// Reads a plain decimal number and removes it from `text`.
std::optional<double> take_number(std::string_view& text) {
  if (text.empty() || (text[0] != '.' && (text[0] < '0' || text[0] > '9'))) return std::nullopt;
  double number = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<double> whole_number(std::string_view text) {
  auto number = take_number(text);
  return text.empty() ? number : std::nullopt;
}

constexpr std::string_view kUnits = "kmgtp";

// 1000 to the n for k m g t p, 1024 to the n for K M G T P.
std::optional<double> unit_factor(char unit) {
  std::size_t lower = kUnits.find(unit);
  if (lower != std::string_view::npos) return std::pow(1000.0, static_cast<double>(lower + 1));
  std::size_t upper = kUnits.find(static_cast<char>(unit | 0x20));
  if (upper == std::string_view::npos) return std::nullopt;
  return std::pow(1024.0, static_cast<double>(upper + 1));
}

constexpr std::pair<char, double> kTimeUnits[] = {
    {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};

std::optional<double> take_time_unit(std::string_view& text) {
  for (auto [unit, seconds] : kTimeUnits) {
    if (!text.empty() && (text[0] | 0x20) == unit) {
      text.remove_prefix(1);
      return seconds;
    }
  }
  return std::nullopt;
}

constexpr std::string_view kJobs =
    "a number, +N or -N (relative to the processors), N% of them, 0 for no limit, or the name of "
    "a file that holds one of these";

constexpr std::string_view kHalt =
    "never, or WHEN,WHY=HOW_MANY with now or soon, fail, success or done, and a number or a "
    "percentage: now,fail=1 or soon,done=30% (0 1 2 -1 -2 and N% also work)";

struct LegacyHalt {
  std::string_view text;
  Halt::When when;
  Halt::What what;
};

constexpr LegacyHalt kLegacyHalts[] = {
    {"never", Halt::When::never, Halt::What::fail}, {"0", Halt::When::never, Halt::What::fail},
    {"1", Halt::When::soon, Halt::What::fail},      {"2", Halt::When::now, Halt::What::fail},
    {"-1", Halt::When::soon, Halt::What::success},  {"-2", Halt::When::now, Halt::What::success},
};

bool set_halt_amount(Halt& halt, std::string_view amount) {
  bool percent = amount.ends_with('%');
  if (percent) amount.remove_suffix(1);
  auto number = whole_number(amount);
  if (!number || *number <= 0) return false;
  if (percent) {
    halt.percent = *number;
    return *number <= 100;
  }
  halt.count = static_cast<std::uint64_t>(*number);
  return *number == std::floor(*number);
}

std::optional<Halt::What> take_halt_reason(std::string_view& text) {
  constexpr std::pair<std::string_view, Halt::What> kReasons[] = {
      {"fail=", Halt::What::fail}, {"success=", Halt::What::success}, {"done=", Halt::What::done}};
  for (auto [name, what] : kReasons) {
    if (!text.starts_with(name)) continue;
    text.remove_prefix(name.size());
    return what;
  }
  return std::nullopt;
}

std::optional<int> signal_number(std::string_view name) {
  if (name.starts_with("SIG")) name.remove_prefix(3);
  int number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error == std::errc() && end == name.data() + name.size()) {
    return number > 0 && number < NSIG ? std::optional(number) : std::nullopt;
  }
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return std::nullopt;
}

std::vector<std::string_view> split_at_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    std::size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

char simple_escape(char c) {
  constexpr std::string_view kNames = "abefnrtv";
  constexpr std::string_view kBytes = "\a\b\033\f\n\r\t\v";
  std::size_t at = kNames.find(c);
  return at == std::string_view::npos ? c : kBytes[at];
}

// A number of at most `digits` digits at the start of `text`, which it removes.
std::optional<char> take_byte(std::string_view& text, int base, std::size_t digits) {
  unsigned value = 0;
  std::string_view number = text.substr(0, digits);
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value, base);
  if (error != std::errc() || value > 255) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return static_cast<char>(value);
}

}  // namespace

Value<std::uint64_t> parse_count(std::string_view text) {
  std::string_view rest = text;
  auto number = take_number(rest);
  if (number && rest.size() == 1) {
    if (auto factor = unit_factor(rest[0])) {
      *number *= *factor;
      rest = {};
    }
  }
  if (!number || !rest.empty() || *number > 9e15 || *number != std::floor(*number)) {
    return refused(text, "a whole number such as 10, 2k (2000) or 2K (2048)");
  }
  return static_cast<std::uint64_t>(*number);
}

Value<int> parse_integer(std::string_view text) {
  int number = 0;
  std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return refused(text, "a whole number");
  }
  return number;
}

Value<std::chrono::duration<double>> parse_duration(std::string_view text) {
  constexpr std::string_view kAccepted =
      "seconds, or a duration such as 90s, 1.5h or 1d3.5h16.6m4s";
  std::string_view rest = text;
  double seconds = 0;
  do {
    auto number = take_number(rest);
    if (!number) return refused(text, kAccepted);
    auto unit = take_time_unit(rest);
    if (!unit && !rest.empty()) return refused(text, kAccepted);
    seconds += *number * unit.value_or(1);
  } while (!rest.empty());
  return std::chrono::duration<double>(seconds);
}

Value<Timeout> parse_timeout(std::string_view text) {
  Timeout timeout;
  if (!text.ends_with('%')) {
    auto after = parse_duration(text);
    if (!after) return std::unexpected(after.error() + ", or N% of the median run time");
    timeout.after = *after;
    return timeout;
  }
  auto percent = whole_number(text.substr(0, text.size() - 1));
  if (!percent || *percent <= 0) return refused(text, "a percentage above 0%, such as 200%");
  timeout.percent = *percent;
  return timeout;
}

Value<JobCount> parse_jobs(std::string_view text) {
  using Kind = JobCount::Kind;
  std::string_view digits = text;
  bool relative = text.starts_with('+') || text.starts_with('-');
  bool percent = text.ends_with('%');
  if (relative) digits.remove_prefix(1);
  if (percent) digits.remove_suffix(1);
  if (auto number = whole_number(digits)) {
    double value = text.starts_with('-') ? -*number : *number;
    if (relative) {
      if (percent) return refused(text, kJobs);
      return JobCount{Kind::add, value, {}};
    }
    if (percent) return JobCount{Kind::percent, value, {}};
    if (value != std::floor(value)) return refused(text, kJobs);
    return value == 0 ? JobCount{Kind::unlimited, 0, {}} : JobCount{Kind::number, value, {}};
  }
  if (!text.empty() && ::access(std::string(text).c_str(), R_OK) == 0) {
    return JobCount{Kind::file, 0, std::string(text)};
  }
  return refused(text, kJobs);
}

Value<Halt> parse_halt(std::string_view text) {
  for (const auto& [legacy, when, what] : kLegacyHalts) {
    if (text == legacy) return Halt{when, what, 1, 0};
  }
  Halt halt{Halt::When::soon, Halt::What::fail, 1, 0};
  if (text.ends_with('%') && text.find(',') == std::string_view::npos) {
    if (!set_halt_amount(halt, text)) return refused(text, kHalt);
    return halt;
  }
  std::size_t comma = text.find(',');
  std::string_view when = text.substr(0, comma);
  if (comma == std::string_view::npos || (when != "now" && when != "soon" && when != "never")) {
    return refused(text, kHalt);
  }
  std::string_view rest = text.substr(comma + 1);
  auto what = take_halt_reason(rest);
  halt.when = when == "now" ? Halt::When::now : Halt::When::soon;
  if (!what || !set_halt_amount(halt, rest)) return refused(text, kHalt);
  halt.what = *what;
  return when == "never" ? Halt{} : halt;
}

Value<Trim> parse_trim(std::string_view text) {
  if (text == "n") return Trim::none;
  if (text == "l") return Trim::left;
  if (text == "r") return Trim::right;
  if (text == "lr" || text == "rl") return Trim::both;
  return refused(text, "n (nothing), l (left), r (right) or lr (both sides)");
}

Value<StopSequence> parse_term_sequence(std::string_view text) {
  constexpr std::string_view kAccepted = "SIGNAL,milliseconds,... such as TERM,200,KILL,25";
  StopSequence steps;
  auto parts = split_at_commas(text);
  for (std::size_t i = 0; i < parts.size(); i += 2) {
    auto signal = signal_number(parts[i]);
    if (!signal) return refused(text, kAccepted);
    StopStep step{static_cast<Signal>(*signal), std::chrono::milliseconds(0)};
    if (i + 1 < parts.size()) {
      auto wait = parse_count(parts[i + 1]);
      if (!wait) return refused(text, kAccepted);
      step.pause = std::chrono::milliseconds(*wait);
    }
    steps.push_back(step);
  }
  return steps;
}

std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    char c = text[0];
    text.remove_prefix(1);
    if (c != '\\' || text.empty()) {
      out += c;
      continue;
    }
    if (text[0] == 'x') {
      std::string_view rest = text.substr(1);
      if (auto byte = take_byte(rest, 16, 2)) {
        out += *byte;
        text = rest;
        continue;
      }
    }
    if (auto byte = take_byte(text, 8, 3)) {
      out += *byte;
      continue;
    }
    out += simple_escape(text[0]);
    text.remove_prefix(1);
  }
  return out;
}

Value<std::string> parse_delimiter(std::string_view text) {
  if (text.empty()) {
    return std::unexpected("a delimiter needs at least one character; for NUL use -0 or -d '\\0'");
  }
  return unescape(text);
}

}  // namespace tine::cli
