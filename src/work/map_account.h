// SPDX-License-Identifier: MIT
#pragma once

/// The account of a map, of whatever workers: which items are done, which have failed and how, and
/// how often each has been tried. Fed with what workers leave behind, of which nothing is trusted.
/// Owner: itself. Threads: one.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tine/detail/map_body.h"
#include "tine/map.h"
#include "work/item_set.h"
#include "work/map_table.h"

namespace tine::work {

class MapAccount {
 public:
  /// Called for what one worker has done, in items [begin, end).
  using OnDone = std::function<void(std::size_t place, std::uint64_t begin, std::uint64_t end)>;

  /// Of `options`, the attempts and the name.
  MapAccount(const MapOptions& options, detail::MapBody& body, OnDone on_done = {});

  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  void set_places(std::size_t places) { failed_here_.resize(places); }
  /// Another worker begins at `place`.
  void begin_worker(std::size_t place) { failed_here_[place].clear(); }

  // What a worker has left.
  /// It has told of a failure of `item`, which is for item_failed() as well.
  void note_told(std::size_t place, std::uint32_t item) { failed_here_[place].push_back(item); }
  void take_record(std::uint64_t item, std::span<const std::byte> content);
  /// What it has done, without the items that failed.
  void add_runs(std::size_t place, const WorkerSlot& slot);
  /// Whether the last attempt at `item` here has left a record of its failure: then that has been
  /// counted, and a death between the record and the next item is no second failure.
  [[nodiscard]] bool has_told_of(std::size_t place, WorkerSlot& slot, std::uint32_t item) const;

  /// It cannot be run at all.
  void refuse(std::uint32_t item, Failure made) { failures_.emplace(item, std::move(made)); }
  /// An attempt has failed. Gives the number of the next one, unless that was the last.
  std::optional<int> item_failed(std::uint32_t item, Failure made, bool crashed, bool may_retry);

  [[nodiscard]] std::size_t failed() const noexcept { return failures_.size(); }
  [[nodiscard]] bool has_failed(std::uint32_t item) const { return failures_.contains(item); }
  /// Items with an outcome.
  [[nodiscard]] std::uint64_t finished() const noexcept { return done_.size() + failures_.size(); }
  /// Items without one, in order.
  [[nodiscard]] std::vector<Span> missing() const;
  /// The same, once no worker is left, to be run again: a worker that was killed between taking
  /// items and noting it has lost them, or one that scribbled over its account. After three times,
  /// none.
  std::vector<Span> reclaim();
  /// How often there were any to ask for.
  [[nodiscard]] int reclaims() const noexcept { return reclaims_; }

  /// All failures; items without an outcome share `fate`. `values`: of plain results, if any.
  [[nodiscard]] MapFailures all_failures(const Failure& fate, const std::byte* values);

 private:
  /// How often an item has been tried.
  struct Attempts {
    int all = 0;
    int crashes = 0;
  };

  void add_done(std::size_t place, std::uint64_t begin, std::uint64_t end);
  [[nodiscard]] bool may_retry(const Failure& failure, const Attempts& attempts) const;
  void check_values(const std::byte* values);

  const MapOptions& options_;
  detail::MapBody& body_;
  const std::uint32_t count_;
  const OnDone on_done_;
  ItemSet done_{};
  std::unordered_map<std::uint32_t, Attempts> attempts_{};
  std::map<std::uint32_t, Failure> failures_{};
  int reclaims_ = 0;
  std::vector<std::vector<std::uint32_t>> failed_here_{};  ///< items, of the worker at each place
};

/// Adds what a worker has noted of single items, and keeps the slowest.
void add_slowest(MapInsights& insights, const WorkerSlot& slot);

}  // namespace tine::work
