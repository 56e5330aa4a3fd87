// SPDX-License-Identifier: MIT
/// What a replacement string such as {/.} or {2##re} does to a value, read once from the template
/// and applied for each job.
///
/// Threads: a Transform may be applied from several threads, each with its own scratch string.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tine::cli {

enum class Operation {
  value,            // {}
  no_extension,     // {.}
  basename,         // {/}
  dirname,          // {//}
  basename_no_ext,  // {/.}
  sequence,         // {#}
  slot,             // {%}
  // The rest comes with --plus.
  total,                // {##}
  padded_sequence,      // {0#}
  padded_slot,          // {0%}
  directory,            // {+/}
  extension,            // {+.}
  two_extensions,       // {+..}
  three_extensions,     // {+...}
  no_two_extensions,    // {..}
  no_three_extensions,  // {...}
  basename_no_two,      // {/..}
  basename_no_three,    // {/...}
  shell_variable,       // {slot} {host} ...: text for the job's shell
  if_empty,             // {:-text}
  substring,            // {:from} {:from:length}
  no_prefix,            // {#re}
  no_longest_prefix,    // {##re}
  no_suffix,            // {%re}
  no_longest_suffix,    // {%%re}
  replace_first,        // {/re/text}
  replace_all,          // {//re/text}
  upper_start,          // {^re}
  upper_all,            // {^^re}
  lower_start,          // {,re}
  lower_all,            // {,,re}
};

class Pattern;

/// An operation with its parameters. Copies share the compiled pattern.
struct Transform {
  Operation operation = Operation::value;
  std::string text{};  ///< the replacement, the default or the variable
  std::size_t from = 0;
  std::size_t length = std::string::npos;
  std::shared_ptr<const Pattern> pattern{};

  /// Does it tell something about the job rather than change a value?
  bool about_job() const;
  /// Needs the number of all jobs before the first one starts?
  bool needs_total() const;
};

/// The transform that --plus gives to `body`, the text between the braces, and that no fixed
/// name covers: {:2}, {%.gz}, {//a/b} and their like. Nothing when `body` is none of them.
///
/// Errors: the regular expression does not compile.
std::expected<std::optional<Transform>, std::string> parse_dynamic(std::string_view body);

/// `value` after `transform`: a part of `value`, or text kept in `scratch`.
/// Requires: !transform.about_job().
std::string_view apply(const Transform& transform, std::string_view value, std::string& scratch);

}  // namespace tine::cli
