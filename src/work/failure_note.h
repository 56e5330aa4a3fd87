// SPDX-License-Identifier: MIT
#pragma once

/// A Failure on its way through shared memory. Addresses of a backtrace get their names where it
/// arrives.

#include <chrono>
#include <cstdint>
#include <exception>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tine/error.h"

namespace tine::work {

struct FailureNote {
  Cause cause = Cause::lost;
  std::string type{};
  std::string message{};
  std::vector<Thrown> causes{};
  std::string stderr_tail{};
  std::vector<std::uint64_t> frames{};
  std::optional<int> code{};    ///< that the process exited with
  std::optional<int> signal{};  ///< that ended it
  bool core_dumped = false;
  std::optional<std::string> obstacle{};  ///< of the environment
  std::chrono::nanoseconds elapsed{};
  Usage usage{};

  void set_end(const std::expected<Finished, Error>& finished);
  [[nodiscard]] Failure to_failure() const;
};

[[nodiscard]] FailureNote failure_note(Cause cause, std::string message);

/// Requires: in a catch clause. What has left a task. Throws bad_alloc.
[[nodiscard]] FailureNote note_in_flight();

/// A note as bytes, at most `most`: texts are cut until it fits.
[[nodiscard]] std::vector<std::byte> encoded_note(FailureNote note, std::size_t most);

}  // namespace tine::work
