// SPDX-License-Identifier: MIT
#pragma once

/// A map in a pool, in its host. Puts the items into the pool's memory, has workers take parts in
/// it, which are tasks like others, and keeps the account: a part that ends has done what its runs
/// say; of one whose worker died, the item that was being run is blamed, and the rest is for
/// others. As many parts are submitted as there are places and items that nobody has.
///
/// Owner: the slots of the map and its parts, which it leaves to the core. Threads: one.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tine/detail/pool_map.h"
#include "tine/map.h"
#include "work/item_supply.h"
#include "work/map_account.h"
#include "work/map_memory.h"
#include "work/pool_core.h"
#include "work/pool_map_memory.h"

namespace tine::work {

class PoolMap {
 public:
  PoolMap(std::shared_ptr<detail::PoolCore> core, const detail::MapOrder& order,
          detail::MapInputs& inputs, detail::MapBody& body);
  PoolMap(const PoolMap&) = delete;
  PoolMap& operator=(const PoolMap&) = delete;
  /// After an exception of the program's it gives back what it holds as soon as no worker uses it.
  ~PoolMap();

  /// Once.
  detail::MapOutcome run();

 private:
  using Clock = std::chrono::steady_clock;

  /// What stands at a place.
  struct Part {
    std::uint32_t slot = kNoSlot;
    Clock::time_point submitted{};
    bool is_used = false;  ///< by an earlier part
  };

  bool prepare();
  void work_to_the_end();
  bool submit_parts();
  bool submit(std::size_t place);
  void wait_for_parts();
  void withdraw_parts();
  [[nodiscard]] std::size_t active() const noexcept;

  // The account.
  void account_for(std::size_t place);
  void take_records(std::size_t place);
  void blame(std::size_t place, Failure made);
  void died_idle(Failure made);
  void take_rest(std::size_t place, std::uint64_t from);
  void item_failed(std::uint32_t item, Failure made, bool crashed);
  void take_delayed();
  void note_part(std::size_t place, std::string end);
  void give_up(Failure fate);
  void stop_parts();
  bool reclaim_missing();

  const std::shared_ptr<detail::PoolCore> core_;
  const detail::MapOrder& order_;
  detail::MapInputs& inputs_;
  detail::MapBody& body_;
  const MapOptions options_;
  MapAccount account_;
  const Clock::time_point began_ = Clock::now();

  std::optional<detail::PoolCore::HeldMap> held_{};
  std::optional<PoolMapMemory> memory_{};
  MapMemory places_{};
  std::optional<ItemSupply> supply_{};
  std::vector<Part> parts_{};
  std::multimap<Clock::time_point, std::uint32_t> delayed_{};  ///< items, until their next attempt
  std::optional<Failure> fate_{};  ///< of all items that have no outcome of their own
  std::uint64_t progress_at_death_ = 0;
  std::size_t submitted_ = 0;
  std::size_t failed_parts_ = 0;
  int idle_deaths_ = 0;
  MapInsights insights_{};
};

}  // namespace tine::work
