// SPDX-License-Identifier: MIT
#pragma once

/// A lazy map in its parent: pulls the inputs, fills cells with them, replaces workers that die and
/// gives out the results. Everything happens in next(). Owner: the workers, which go with it.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "os/shared_region.h"
#include "tine/detail/stream_body.h"
#include "tine/fd.h"
#include "tine/lazy_map.h"
#include "work/crew.h"
#include "work/stream_table.h"
#include "work/stream_worker.h"

namespace tine::work {

class StreamRun {
 public:
  StreamRun(const LazyMapOptions& options, detail::StreamOrder order, detail::StreamBody& body);
  StreamRun(const StreamRun&) = delete;
  StreamRun& operator=(const StreamRun&) = delete;

  std::optional<detail::StreamItem> next();

 private:
  using Clock = std::chrono::steady_clock;
  using Ending = Crew::Ending;

  /// What the parent knows of a cell that is in use.
  struct InFlight {
    bool used = false;
    std::uint64_t item = 0;
    int attempts = 0;
    std::optional<Failure> failure{};  ///< its outcome, when it is one
  };

  std::expected<void, Error> prepare();
  std::expected<void, Error> prepare_memory();
  void refill();
  bool pull_into(std::size_t cell);
  [[nodiscard]] std::optional<std::size_t> free_cell() const noexcept;

  void start_workers();
  std::expected<void, Error> start(WorkerSeat& seat);
  [[nodiscard]] std::optional<std::uint32_t> current_cell(const WorkerSeat& seat) const noexcept;
  [[nodiscard]] bool has_filled_cells() const noexcept;
  void on_ended(WorkerSeat& seat, const std::expected<Finished, Error>& finished);
  void dismiss_workers();
  void announce() noexcept;
  void see_to_workers();
  void give_up(Failure fate);

  void look_at_cells();
  void offer(std::size_t cell);
  [[nodiscard]] Failure failure_in(std::size_t cell, const WorkerSeat& seat) const;
  void attempt_failed(std::size_t cell, Failure failure);
  [[nodiscard]] std::optional<std::size_t> cell_to_give() const noexcept;
  [[nodiscard]] bool is_over(std::size_t cell) const noexcept;
  void wait();
  detail::StreamItem give(std::size_t cell);
  void recycle_given();

  const MapOptions options_;  ///< what seats want to know
  const LazyMapOptions given_options_;
  const detail::StreamOrder order_;
  detail::StreamBody& body_;
  const std::size_t worker_count_;
  const std::size_t window_;
  bool prepared_ = false;

  os::SharedRegion memory_{};
  std::optional<StreamShape> shape_{};
  Fd notice_{};
  Crew crew_;

  std::vector<InFlight> in_flight_{};
  std::size_t used_cells_ = 0;
  std::uint64_t next_item_ = 0;  ///< to be pulled
  std::uint64_t next_given_ = 0;
  std::optional<std::size_t> given_{};  ///< the cell whose result the caller is looking at
  bool exhausted_ = false;
  std::exception_ptr input_error_{};
  std::optional<Failure> fate_{};  ///< of all that has no outcome yet
  Clock::time_point next_look_{};
};

}  // namespace tine::work
