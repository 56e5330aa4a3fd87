// SPDX-License-Identifier: MIT
#pragma once

/// A worker of a lazy map: claims cells that are filled, runs their items, and says how it went.
/// See stream_table.h.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "os/shared_region.h"
#include "tine/detail/called_in.h"
#include "tine/detail/stream_body.h"
#include "work/map_table.h"
#include "work/stream_table.h"

namespace tine::work {

/// What the workers and their parent share.
struct StreamShape {
  StreamTable& table;
  std::span<StreamCell>
      cells;               ///< of items; then one of each worker, for what its initializer says
  std::size_t window;      ///< how many of them are for items
  os::SharedPart inputs;   ///< as many equal parts as there are cells
  os::SharedPart results;  ///< likewise
  detail::StreamBody& body;
  int notice_fd;  ///< an eventfd
  std::uint64_t seed;
  bool timed;                 ///< whether somebody wants to know when items begin
  std::size_t recycle_after;  ///< items; 0: never

  [[nodiscard]] os::SharedPart input(std::size_t cell) const noexcept;
  [[nodiscard]] os::SharedPart result(std::size_t cell) const noexcept;
};

class RegionSink;

class StreamWorker {
 public:
  StreamWorker(const StreamShape& shape, std::uint32_t place, WorkerSlot& slot) noexcept
      : shape_(shape), place_(place), slot_(slot) {}

  /// The whole life of a worker process. Gives its exit code.
  int run() noexcept;

 private:
  bool initialize();
  std::optional<std::size_t> claim() noexcept;
  [[nodiscard]] bool must_stop() const noexcept;
  void run_item(std::size_t cell);
  void conclude(std::size_t cell, CellStage stage, const RegionSink& sink) noexcept;
  void note_failure(std::size_t cell, std::int64_t began);
  [[nodiscard]] std::uint64_t errors_written() const noexcept;

  const StreamShape& shape_;
  std::uint32_t place_;
  WorkerSlot& slot_;
  std::size_t next_cell_ = 0;  ///< where to look first
  std::size_t items_done_ = 0;
  detail::CalledIn process_{};
  std::uint64_t errors_ = 0;  ///< bytes on stderr, before the last item
};

}  // namespace tine::work
