// SPDX-License-Identifier: MIT
#pragma once

/// A worker of a pool while it has a part in a map: a worker of that map, which minds the pool.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "work/map_worker.h"

namespace tine::work {

/// What it asks of the pool's worker.
class PoolSite {
 public:
  PoolSite() = default;
  PoolSite(const PoolSite&) = delete;
  PoolSite& operator=(const PoolSite&) = delete;
  /// The keeper ends whoever is late: it is to know of `due`, ns since boot.
  virtual void tell_deadline(std::int64_t due) const noexcept = 0;
  /// In a handler: a note of what has been thrown. Throws bad_alloc.
  [[nodiscard]] virtual std::vector<std::byte> note_of_failure() const = 0;
  /// Bytes of its stderr, as it was when it was last looked at: after each batch.
  [[nodiscard]] virtual std::uint64_t errors_so_far() const noexcept = 0;
  /// Whether anything else waits for a worker.
  [[nodiscard]] virtual bool has_other_work() const noexcept = 0;

 protected:
  ~PoolSite() = default;
};

class PoolMapWorker final : public MapWorker {
 public:
  PoolMapWorker(const MapShape& shape, std::size_t place, Records& records, PoolSite& site)
      : MapWorker(shape, place, records, Where::child), site_(site) {}

 private:
  void on_timed() override;
  [[nodiscard]] std::vector<std::byte> failure_note() const override;
  bool sleep_for_items(std::uint32_t offers_seen) override;
  [[nodiscard]] std::uint64_t errors_written() const noexcept override {
    return site_.errors_so_far();
  }
  /// They are there: the host has seen to it.
  void populate_values(std::size_t /*begin*/, std::size_t /*end*/) override {}

  PoolSite& site_;
};

}  // namespace tine::work
