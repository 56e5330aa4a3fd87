// SPDX-License-Identifier: MIT
#pragma once

/// A worker of a map: finds items, runs them, and says how it went. In a forked child; or in the
/// parent itself, which then helps. See map_table.h for what it shares with the others.
///
/// Cost: an item is a store and a load. A batch, of about 50 us of items, is two looks at the clock
/// and one compare-and-swap.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "os/shared_region.h"
#include "tine/detail/map_body.h"
#include "tine/map.h"
#include "work/map_records.h"
#include "work/map_table.h"

namespace tine::work {

/// The places where a worker has done a part of what belongs together.
enum class WorkerStep : unsigned char {
  started,
  initialized,
  took_from_front,  ///< of its range: the items are in no word
  took_handed_out,
  stole,
  opened_run,  ///< another entry, without a batch
  set_limit,   ///< the batch has begun
  wrote_failure,
  linked_failure,
  counted_failure,
  ended_batch,
  lowered_limit,  ///< to hand back the rest, which is in no word
  handed_back,
  ending,
  kCount,
};

/// For tests, which kill workers there; called in the worker. Not set: one load a batch and step.
extern void (*at_worker_step)(WorkerStep step, MapTable& table, WorkerSlot& slot) noexcept;

/// Where a worker says since when, or until when, an item may run; empty: nobody wants to know.
struct ItemTiming {
  std::atomic<std::int64_t>* started = nullptr;
  std::int64_t allowance = 0;                        ///< see detail::ItemBatch
  const std::atomic<std::uint32_t>* held = nullptr;  ///< not 0: no item is to begin
};

/// What a worker needs to know of its map.
struct MapShape {
  MapTable& table;
  std::span<WorkerSlot> slots;
  os::SharedPart values;  ///< where plain results go
  detail::MapBody& body;
  const MapOptions& options;
  int notice_fd;       ///< an eventfd: written after failures, and when `more` was taken from
  bool tell_failures;  ///< at once
  std::uint64_t seed;  ///< of the items' random numbers
  std::uint64_t stop_at_failures;  ///< so many stop the map, before the parent has heard; 0: never
  ItemTiming timing{};
};

class MapWorker {
 public:
  /// In the parent it never waits for others, and stderr is not its own.
  enum class Where : unsigned char { child, parent };

  /// `place`: of its slot. `records`: outlives it.
  MapWorker(const MapShape& shape, std::size_t place, Records& records, Where where);
  MapWorker(const MapWorker&) = delete;
  MapWorker& operator=(const MapWorker&) = delete;
  virtual ~MapWorker() = default;

  /// The whole life of a worker process. Gives its exit code.
  int run() noexcept;

  /// The user's initializer. False: it failed.
  bool initialize();
  /// Runs one batch. False: there is nothing more to do, or the worker retires.
  bool step();
  /// How many items it has run.
  [[nodiscard]] std::size_t items_done() const noexcept { return items_done_; }

 protected:
  /// An item of a batch is about to be timed.
  virtual void on_timed() {}
  /// Gets the pages of a part of the plain results. Throws bad_alloc where there are none, which
  /// would be a SIGBUS later.
  virtual void populate_values(std::size_t begin, std::size_t end);
  /// In a handler: what is to be said of an item's failure.
  [[nodiscard]] virtual std::vector<std::byte> failure_note() const;
  /// Sleeps while nothing has been offered since `offers_seen`; or less, if there is something else
  /// to do. False: then this worker gives up looking.
  virtual bool sleep_for_items(std::uint32_t offers_seen);

  /// Bytes of its stderr so far.
  [[nodiscard]] virtual std::uint64_t errors_written() const noexcept;

  [[nodiscard]] const MapShape& shape() const noexcept { return shape_; }
  [[nodiscard]] WorkerSlot& slot() const noexcept { return slot_; }

 private:
  [[nodiscard]] std::uint32_t item_count() const noexcept;
  [[nodiscard]] bool is_valid(Span items) const noexcept;
  void passed(WorkerStep step) const noexcept;
  [[nodiscard]] bool must_stop() const noexcept;
  [[nodiscard]] bool must_retire();
  [[nodiscard]] bool is_too_large();
  bool wait_for_items(std::uint32_t offers_seen);
  [[nodiscard]] std::optional<Span> next_batch();
  bool find_items();
  bool take_handed_out();
  bool steal();
  bool ask_for_share();
  [[nodiscard]] std::uint64_t batch_left(WorkerSlot& slot) const noexcept;

  bool note_batch(Span batch);
  void run_batch(Span batch);
  void run_items(Span batch);
  void populate_values(Span batch);
  void note_failure(std::int64_t began);
  void add_failure(std::span<const std::byte> note, std::int64_t began);
  void hand_back(Span batch);
  void size_next_batch(std::size_t items, std::int64_t elapsed);
  void note_slow(std::size_t item, std::int64_t elapsed);
  void count_failure() noexcept;
  void tell_parent() const noexcept;

  [[nodiscard]] bool is_held() const noexcept;
  void start_clock(std::int64_t now) noexcept;

  MapShape shape_;
  detail::CalledIn process_{};
  WorkerSlot& slot_;
  Records& records_;
  std::size_t values_begin_ = 0;  ///< of results there are pages from here
  std::size_t values_end_ = 0;    ///< to here, in bytes
  std::uint32_t batch_size_ = 1;
  std::size_t items_done_ = 0;
  std::int64_t next_look_at_rss_ = 0;
  Where where_;
  bool failed_once_ = false;
};

}  // namespace tine::work
