// SPDX-License-Identifier: MIT
#pragma once

/// What workers have written into their arenas, read by the parent, which trusts none of it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "os/shared_region.h"
#include "tine/error.h"
#include "work/map_table.h"

namespace tine::work {

struct Record {
  std::uint64_t item;
  RecordKind kind;
  std::span<const std::byte> content;
};

/// The records in [begin, end) of an arena, in order, up to the first that cannot be one.
class RecordReader {
 public:
  /// Requires: begin <= end <= arena.size().
  RecordReader(os::SharedPart arena, std::size_t begin, std::size_t end) noexcept
      : bytes_(arena.data(), end), at_(begin) {}
  [[nodiscard]] std::optional<Record> next() noexcept;

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_;
};

/// What has left the user's function, as it travels.
struct Caught {
  RecordKind kind;
  std::vector<std::byte> text;
};
/// In a handler. Throws bad_alloc when there is no memory even for that.
[[nodiscard]] Caught caught_in_flight();

/// An item that failed without ending its worker.
struct FailureRecord {
  std::uint64_t item;
  RecordKind kind;
  FailureHead head;
  std::span<const std::byte> text;

  /// Cause, exception and times.
  void describe(Failure& failure) const;
};

/// Those of a worker that are newer than the one at offset `since`, oldest first; from `begin` on
/// the arena is this worker's. Sets `since` to the newest.
[[nodiscard]] std::vector<FailureRecord> take_failures(const WorkerSlot& slot, os::SharedPart arena,
                                                       std::size_t begin, std::uint64_t& since);

}  // namespace tine::work
