// SPDX-License-Identifier: MIT
#pragma once

/// What workers write into their arenas, and how the parent reads it, which trusts none of it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "os/shared_region.h"
#include "tine/detail/map_body.h"
#include "tine/error.h"
#include "work/map_table.h"
#include "work/region_sink.h"

namespace tine::work {

/// Where a worker writes its records.
class Records : public detail::RecordSink {
 public:
  void begin_record(std::size_t item) final { begin(item, RecordKind::value); }
  /// What comes next belongs to a new record. Throws bad_alloc.
  virtual void begin(std::size_t item, RecordKind kind) = 0;
  /// Of the record that was begun last.
  [[nodiscard]] virtual std::size_t offset() const noexcept = 0;
};

/// Frames what a worker writes: each record begins at a multiple of 8. Not allocated: a worker that
/// needs no heap does not copy the pages of its parent's.
class RecordWriter final : public Records {
 public:
  RecordWriter(os::SharedPart arena, std::size_t used)
      : sink_(arena, used, used, kLargestStep), whole_(used) {}

  void begin(std::size_t item, RecordKind kind) override;
  detail::ByteSink& bytes() noexcept override { return sink_; }
  std::size_t end_record() noexcept override;
  [[nodiscard]] std::size_t offset() const noexcept override {
    return content_ - sizeof(RecordHead);
  }

 private:
  static constexpr std::size_t kLargestStep = std::size_t{4} << 20;
  RegionSink sink_;
  std::size_t whole_;
  std::size_t content_ = 0;
  std::byte* head_ = nullptr;
};

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

/// An item that failed without ending its worker.
struct FailureRecord {
  std::uint64_t item;
  FailureHead head;
  std::span<const std::byte> note;

  [[nodiscard]] Failure failure() const;
};

/// Those of a worker that are newer than the one at offset `since`, oldest first; from `begin` on
/// the arena is this worker's. Sets `since` to the newest.
[[nodiscard]] std::vector<FailureRecord> take_failures(const WorkerSlot& slot, os::SharedPart arena,
                                                       std::size_t begin, std::uint64_t& since);

}  // namespace tine::work
