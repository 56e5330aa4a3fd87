// SPDX-License-Identifier: MIT
#pragma once

/// A worker as its parent sees it: the process, its slot, its memory for records, what it writes to
/// stderr, and how far its ending has come. Dead workers are replaced in the same seat; their
/// records stay. Owner: the process. Threads: one.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "os/shared_region.h"
#include "tine/error.h"
#include "tine/map.h"
#include "work/map_table.h"
#include "work/worker_process.h"

namespace tine::work {

/// Who is named in failures.
[[nodiscard]] std::string subject_of(const MapOptions& options);

class WorkerSeat {
 public:
  using Ending = WorkerProcess::Ending;

  /// `arena`: memory for records.
  WorkerSeat(std::size_t place, WorkerSlot& slot, os::SharedPart arena) noexcept
      : place_(place), slot_(slot), arena_(arena) {}

  /// Begins to use the seat, behind the records that are there.
  void occupy() noexcept;
  /// Forks a worker, which runs `main` with this seat's arena.
  /// Errors: those of launch(), and of memory for records and stderr.
  std::expected<void, Error> start(const MapOptions& options, const std::function<int()>& main);

  [[nodiscard]] bool is_alive() const noexcept { return process_.is_alive(); }
  [[nodiscard]] std::size_t place() const noexcept { return place_; }
  [[nodiscard]] WorkerSlot& slot() const noexcept { return slot_; }
  [[nodiscard]] os::SharedPart arena() const noexcept { return arena_; }
  /// Up to where records of earlier workers in this seat go.
  [[nodiscard]] std::size_t arena_used() const noexcept { return arena_used_; }
  /// Where the records of the last worker end; nothing when it says what cannot be.
  [[nodiscard]] std::optional<std::size_t> records_end() const noexcept;
  [[nodiscard]] int fd() const noexcept { return process_.fd(); }
  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }
  [[nodiscard]] std::chrono::steady_clock::time_point started() const noexcept { return started_; }
  /// Of the worker that is here, or was last.
  [[nodiscard]] pid_t last_pid() const noexcept { return last_pid_; }
  /// How many items it has finished, as it says.
  [[nodiscard]] std::uint64_t items_done() const noexcept { return slot_.items_done(); }
  /// The last of what it wrote to stderr; empty for the parent's own seat.
  [[nodiscard]] std::string errors_between(std::uint64_t from, std::uint64_t until) const {
    return process_.errors_between(from, until);
  }
  [[nodiscard]] std::string errors_since(std::uint64_t from) const {
    return process_.errors_since(from);
  }
  /// Passes on to our stderr what is new.
  bool pass_on_errors() noexcept { return process_.pass_on_errors(); }
  /// Whether it is above its limit of memory and has not been ended yet.
  [[nodiscard]] bool is_too_large() {
    return is_alive() && ending() == Ending::none && process_.exceeds_memory();
  }

  /// The item that it is running, as far as it says so.
  [[nodiscard]] std::optional<std::uint32_t> current_item(std::uint32_t item_count) const noexcept {
    return slot_.current_item(item_count);
  }

  // Ending it: TERM to its tree, and KILL after the grace.

  /// The first step. For a timeout it is asked first where it is: up to 100 ms.
  void end(Ending why, std::optional<std::uint32_t> item);
  void kill() { process_.kill(); }
  [[nodiscard]] Ending ending() const noexcept { return process_.ending(); }
  [[nodiscard]] std::optional<std::uint32_t> item_at_ending() const noexcept { return ended_item_; }

  /// It has ended, or nothing can end it: what became of it. The seat is free afterwards.
  std::expected<Finished, Error> leave(bool& stuck) { return process_.leave(stuck); }
  /// After leave(): what its end, `finished`, means for the item that it was running.
  [[nodiscard]] Failure failure(const std::expected<Finished, Error>& finished,
                                const MapOptions& options) const;

 private:
  void add_place(Failure& failure) const;

  const std::size_t place_;
  WorkerSlot& slot_;
  os::SharedPart arena_;
  std::size_t arena_used_ = kArenaStart;
  WorkerProcess process_{};
  pid_t last_pid_ = 0;
  std::chrono::steady_clock::time_point started_{};
  std::optional<std::uint32_t> ended_item_{};
};

}  // namespace tine::work
