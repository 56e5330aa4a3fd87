// SPDX-License-Identifier: MIT
#pragma once

/// A pool in its host: gives out slots, puts tasks into queues, and sleeps until they have an
/// outcome. Each thread sleeps on its own task, and on the life of the keeper.
///
/// Owner: the memory and the keeper; the memory stays until the last future has gone. Threads:
/// safe; one lock, which is the host's own, for slots and queues. Inert in all processes but the
/// host.

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "os/pidfd.h"
#include "tine/child.h"
#include "tine/detail/pool_task.h"
#include "tine/fd.h"
#include "tine/pool.h"
#include "work/pool_map_memory.h"
#include "work/pool_memory.h"

namespace tine::detail {

class PoolCore : public std::enable_shared_from_this<PoolCore> {
 public:
  using Begun = std::expected<std::optional<std::uint32_t>, std::unique_ptr<Failure>>;

  static std::expected<std::shared_ptr<PoolCore>, Error> start(const PoolOptions& options);
  PoolCore(const PoolCore&) = delete;
  PoolCore& operator=(const PoolCore&) = delete;
  ~PoolCore();

  [[nodiscard]] bool is_owner() const noexcept;
  [[nodiscard]] bool has_lost_keeper() const noexcept;
  [[nodiscard]] const PoolOptions& options() const noexcept { return options_; }

  // Tasks.
  /// Takes a slot; also submits it, if the request has the arguments. Nothing: there is no room.
  Begun begin(const TaskRequest& request, WhenFull when_full);
  [[nodiscard]] std::byte* arguments(std::uint32_t slot) const noexcept;
  void submit(std::uint32_t slot) noexcept;
  /// The same in two steps, for several together: who is woken for one finds all of them.
  std::size_t put(std::uint32_t slot) noexcept;  ///< gives how many slots are in use
  void wake_worker() noexcept;
  void wake_more(std::size_t workers) noexcept { memory_->wake_more(workers); }
  bool wait_until(std::uint32_t slot, os::Deadline deadline);
  Result<std::span<const std::byte>> outcome(std::uint32_t slot, const std::string& name);
  bool cancel(std::uint32_t slot);
  [[nodiscard]] int fd(std::uint32_t slot);
  void release(std::uint32_t slot) noexcept;

  // Maps: a slot that is never queued has their memory, and tasks are parts of them (PoolMap).
  struct HeldMap {
    std::uint32_t map = work::kNoSlot;
    std::vector<std::uint32_t> parts{};  ///< that may still be looked at
    std::size_t items = 0;
    bool has_deaths = false;  ///< so there may be chunks that nobody knows of
  };
  /// Room for what workers need to know, and for plain results.
  std::expected<HeldMap, std::unique_ptr<Failure>> hold_map(std::size_t bytes, std::size_t values,
                                                            std::size_t items);
  [[nodiscard]] std::span<std::byte> map_bytes(const HeldMap& held) const noexcept;
  [[nodiscard]] const work::PoolMemory& memory() const noexcept { return *memory_; }
  void free_records(const HeldMap& held, work::RecordChain& chain);
  /// Gives the plain results, if there are any; all else is free as soon as no worker looks at it.
  std::shared_ptr<std::byte> release_map(HeldMap held);
  /// The workers that there may be.
  [[nodiscard]] std::size_t places() const noexcept { return table_.target.load(); }
  [[nodiscard]] bool is_broken() const noexcept { return table_.broken.load() != 0; }
  [[nodiscard]] bool has_ended(std::uint32_t slot) const noexcept;
  /// Until one of them has an outcome.
  void wait_for_any(std::span<const std::uint32_t> slots,
                    std::chrono::steady_clock::time_point until) noexcept;
  /// It is not run, if it has not begun.
  void withdraw(std::uint32_t slot) noexcept;
  /// It has ended, and is not part of the map any more.
  void release_part(HeldMap& held, std::uint32_t slot);
  /// For stats(), which goes by items.
  void count_items(std::size_t items, std::size_t failed, std::size_t parts,
                   std::size_t failed_parts);

  // All of it.
  std::expected<void, Error> resize(std::size_t workers);
  void shutdown(Drain drain);
  /// After the keeper's death: tasks that nobody has begun go on in the next pool, if there can be
  /// one; nobody has to wait for the others any more.
  void settle() noexcept;
  [[nodiscard]] std::shared_ptr<PoolCore> successor();
  [[nodiscard]] PoolStats stats();
  [[nodiscard]] std::vector<pid_t> worker_pids();

 private:
  struct Place {
    std::shared_ptr<PoolCore> core;
    std::uint32_t slot;
  };
  struct Watch {
    Fd event;
    Fd poll;
  };

  PoolCore(const PoolOptions& options, std::unique_ptr<work::PoolMemory> memory);
  std::expected<void, Error> start_keeper();
  static Error refused(ErrorKind kind, std::string hint);
  [[nodiscard]] std::size_t queued() const noexcept;
  [[nodiscard]] bool is_full(std::uint32_t queue) noexcept;
  template <class HasRoom>
  bool wait_until_room(const HasRoom& has_room, WhenFull when_full);
  [[nodiscard]] bool takes_none() const noexcept;
  [[nodiscard]] std::unique_ptr<Failure> refusal(std::string_view name) const;
  [[nodiscard]] std::unique_ptr<Failure> note_code(const TaskRequest& request);
  void translate(std::vector<std::uint64_t>& frames) const;
  [[nodiscard]] Failure failure_in(std::span<const std::byte> bytes, const std::string& name) const;
  std::expected<std::uint32_t, std::unique_ptr<Failure>> take_slot();
  void collect_dropped(std::size_t most) noexcept;
  void free_slot(std::uint32_t slot) noexcept;
  void set_rules(work::TaskSlot& task, const TaskRequest& request) const noexcept;
  std::optional<std::size_t> put_locked(std::uint32_t slot, WhenFull when_full) noexcept;
  void see_to(std::uint32_t slot, std::size_t in_use) noexcept;
  bool wait_here(std::uint32_t slot, os::Deadline deadline) noexcept;
  void drop_map(const HeldMap& held) noexcept;
  bool free_parts(HeldMap& held) noexcept;
  bool free_map(HeldMap& held) noexcept;
  [[nodiscard]] bool spin(const work::TaskSlot& task) const noexcept;
  [[nodiscard]] bool is_seen_to(std::size_t tasks) const noexcept;
  [[nodiscard]] bool has_a_cpu_alone() const noexcept;
  void call_keeper() const noexcept;
  void bury_keeper_locked() noexcept;
  void fail_rest() noexcept;

  // After the keeper's death.
  [[nodiscard]] std::optional<Place> moved_to(std::uint32_t slot);
  void settle(std::uint32_t slot) noexcept;
  void settle_locked() noexcept;
  void start_successor();
  void move_all();
  bool move(std::uint32_t slot);
  std::optional<std::uint32_t> adopt(const work::PoolMemory& from, work::TaskSlot& task);
  void abandon(std::uint32_t slot) noexcept;
  static void lose(work::TaskSlot& task) noexcept;
  void make_room() noexcept;
  [[nodiscard]] Failure broken_failure(const std::string& name) const;
  [[nodiscard]] Failure failure_of(std::uint32_t slot, const std::string& name) const;
  [[nodiscard]] std::unique_ptr<Failure> not_started(Error error, std::string_view name = {}) const;
  [[nodiscard]] std::string subject(std::string_view name) const;
  bool send_watch(std::uint32_t slot, int event) const noexcept;
  [[nodiscard]] std::span<work::PoolSeat> used_seats() const noexcept;

  const PoolOptions options_;
  const pid_t owner_;
  const std::unique_ptr<work::PoolMemory> memory_;
  work::PoolTable& table_;
  Fd calls_{};     ///< an eventfd: the keeper is to look
  Fd life_{};      ///< a pipe that ends with this process
  Fd requests_{};  ///< to the keeper
  Child keeper_{};
  Fd keeper_end_{};  ///< its pidfd, also for who looks while another thread reaps it

  std::mutex mutex_{};  ///< for all that follows
  bool closed_ = false;
  bool settled_ = false;     ///< the keeper's death has been seen to
  int keepers_in_vain_ = 0;  ///< in a row, that have ended before they began
  std::shared_ptr<PoolCore> successor_{};
  std::unordered_map<std::uint32_t, std::uint32_t> moved_{};  ///< slots, to those of the successor
  std::vector<std::uint32_t> free_{};
  std::vector<std::uint32_t> dropped_{};  ///< without a future, but not at their end
  std::size_t next_look_ = 0;             ///< at one of these
  std::vector<HeldMap> dropped_maps_{};   ///< the same
  std::uint64_t items_ = 0;               ///< of maps, instead of
  std::uint64_t parts_ = 0;               ///< tasks that were parts of them
  std::uint64_t failed_items_ = 0;
  std::uint64_t failed_parts_ = 0;
  std::uint32_t slots_used_ = 0;   ///< once; the table's may be anything
  std::uint32_t slots_ready_ = 0;  ///< that have memory
  std::uint64_t submitted_ = 0;
  std::array<std::uint64_t, work::kQueues> heads_{};  ///< as they were some time ago
  std::unordered_map<std::uint32_t, Watch> watches_{};
  std::atomic<bool> rang_{false};  ///< the last submit had to wake somebody
  std::atomic<std::uint64_t> cancelled_queued_{0};
  std::atomic<std::uint64_t> cancelled_{0};
  std::atomic<std::size_t> most_workers_{0};  ///< at any time
  std::mutex shutting_down_{};
};

}  // namespace tine::detail
