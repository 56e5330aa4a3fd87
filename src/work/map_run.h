// SPDX-License-Identifier: MIT
#pragma once

/// A map in its parent: makes the workers, replaces those that die, keeps the account of what is
/// done, failed or to be tried again, and gives each item its one outcome.
/// Owner: all processes of the map. Threads: one. When this goes, the workers have gone.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tine/fd.h"
#include "tine/map.h"
#include "work/crew.h"
#include "work/item_supply.h"
#include "work/map_account.h"
#include "work/map_memory.h"
#include "work/map_table.h"
#include "work/map_worker.h"
#include "work/worker_seat.h"

namespace tine::work {

class MapRun {
 public:
  MapRun(const MapOptions& options, detail::MapBody& body);
  MapRun(const MapRun&) = delete;
  MapRun& operator=(const MapRun&) = delete;

  /// Once.
  detail::MapOutcome run();

 private:
  using Clock = std::chrono::steady_clock;
  using Ending = Crew::Ending;

  std::expected<void, Error> prepare();
  std::expected<void, Error> watch_outside();
  void work_to_the_end();

  // Workers.
  void allow_work();
  void start_workers();
  std::expected<void, Error> start(WorkerSeat& seat);
  [[nodiscard]] MapShape shape(std::size_t place) noexcept;
  int worker_main(std::size_t place);
  [[nodiscard]] std::deque<WorkerSeat>& seats() noexcept { return crew_.seats(); }
  [[nodiscard]] const std::deque<WorkerSeat>& seats() const noexcept { return crew_.seats(); }
  void help();

  // What happens to them.
  void on_ended(WorkerSeat& seat, const std::expected<Finished, Error>& finished);
  void on_notice();
  void on_cancelled();
  void give_up(Failure fate, bool kill, Ending why);

  // The account.
  void account_for(WorkerSeat& seat, const std::expected<Finished, Error>& finished);
  void take_failures(WorkerSeat& seat);
  void take_records(WorkerSeat& seat);
  void blame(WorkerSeat& seat, const std::expected<Finished, Error>& finished);
  void died_idle(WorkerSeat& seat, Failure why);
  void take_rest(WorkerSeat& seat, std::uint64_t from);
  void item_failed(std::uint32_t item, Failure failure, bool crashed);
  void try_again(std::uint32_t item, int attempt);
  [[nodiscard]] bool reclaim_missing();
  [[nodiscard]] std::uint64_t failures_to_stop() const noexcept;
  void check_stop_policy();
  void note_worker(WorkerSeat& seat, const std::expected<Finished, Error>& finished);

  // The end.
  [[nodiscard]] Failure failure(Cause cause) const;
  [[nodiscard]] std::uint64_t items_done() const noexcept;
  void report_progress();
  void tick();

  MapOptions options_;
  detail::MapBody& body_;
  MapAccount account_;
  const std::uint32_t count_;
  std::size_t worker_count_ = 1;
  const std::uint64_t seed_;
  const Clock::time_point began_ = Clock::now();

  MapMemory memory_{};
  ItemSupply supply_{memory_};
  Fd notice_{};
  Crew crew_;

  bool all_in_order_ = true;                   ///< workers, and nothing is in their arenas
  std::size_t delayed_ = 0;                    ///< items whose next attempt is still to come
  std::optional<Failure> fate_{};              ///< of all items that have no outcome of their own
  std::vector<std::uint64_t> last_failure_{};  ///< of each seat, that has been taken
  MapInsights insights_{};
};

}  // namespace tine::work
