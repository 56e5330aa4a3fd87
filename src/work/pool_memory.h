// SPDX-License-Identifier: MIT
#pragma once

/// The memory of a pool, with all that pool_table.h tells of.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>

#include "os/shared_region.h"
#include "tine/detail/pool_task.h"
#include "tine/error.h"
#include "tine/fd.h"
#include "work/pool_chunks.h"
#include "work/pool_table.h"

namespace tine::work {

/// All of it. The region is mapped once, before the keeper is forked.
class PoolMemory {
 public:
  /// Who can have it: copies of this process, or whoever is handed file().
  enum class Reach : unsigned char { copies, any_process };
  /// Errors: out_of_memory, too_many_files.
  static std::expected<std::unique_ptr<PoolMemory>, Error> create(std::size_t seats, Reach reach);
  /// In a process that is no copy. Errors: out_of_memory.
  static std::expected<std::unique_ptr<PoolMemory>, Error> attach(Fd file);
  [[nodiscard]] int file() const noexcept { return file_.get(); }
  /// Does not close it.
  void leave_file() noexcept { [[maybe_unused]] const int left = file_.release(); }

  // Code.
  /// Writes down in which module it is. Requires: the host, and one thread at a time.
  /// Errors: not_found.
  std::expected<void, Error> add_code(Code code);
  /// All that is written down in `other`, where there is nothing yet.
  void learn_code(const PoolMemory& other) noexcept;
  /// What the host has written down. Errors: not_found.
  [[nodiscard]] std::expected<CodePlace, Error> place_of(Code hosts) const;

  [[nodiscard]] PoolTable& table() const noexcept { return *table_; }
  [[nodiscard]] std::span<PoolSeat> seats() const noexcept { return seats_; }
  [[nodiscard]] std::span<TaskSlot> slots() const noexcept { return slots_; }
  /// Gets the memory of so many more. An errno; 0: done.
  [[nodiscard]] int provide_slots(std::size_t first, std::size_t count) const noexcept;

  // Queues.
  [[nodiscard]] std::size_t capacity(std::uint32_t queue) const noexcept {
    return entries_[queue].size();
  }
  /// False: it is full. Requires: nobody else puts into this queue.
  bool put(std::uint32_t queue, std::uint32_t slot) noexcept;
  /// The slot at a position; kNoSlot: none that could be one.
  [[nodiscard]] std::uint32_t entry(std::uint32_t queue, std::uint64_t position) const noexcept;
  /// Tasks that may be waiting in queues, from the heads on.
  [[nodiscard]] std::uint64_t backlog() const noexcept;

  // Bytes.
  /// Room for `size` bytes of `slot`, in itself if they fit; nothing: there is no memory.
  std::optional<BytesAt> take_bytes(std::uint32_t slot, std::size_t size) noexcept {
    return size <= TaskSlot::kNear ? BytesAt(size) : take_chunks(slot, size);
  }
  std::optional<BytesAt> take_chunks(std::uint32_t slot, std::size_t size) noexcept;
  [[nodiscard]] std::span<std::byte> arguments(TaskSlot& task) const noexcept;
  [[nodiscard]] std::span<std::byte> result(TaskSlot& task) const noexcept;
  /// Requires: `at` is in no slot.
  [[nodiscard]] std::span<std::byte> chunk(const BytesAt& at) const noexcept;
  /// How many there are in all.
  [[nodiscard]] std::size_t chunks() const noexcept {
    return areas_[0].chunks() + areas_[1].chunks();
  }
  void free_bytes(std::uint32_t slot, const BytesAt& at) noexcept;
  void free_all_but(std::uint32_t slot, const BytesAt& kept) noexcept;
  /// Here, what is larger gives its pages back when it is freed: to have them anew costs more than
  /// to use them.
  void set_kept(std::size_t bytes) noexcept { kept_ = bytes; }
  /// Who takes bytes here looks for them in a part of its own.
  void set_share(std::size_t share, std::size_t of) noexcept;

  /// A task that is `running` at `seat` is for the keeper. False: it is somebody else's by now.
  bool say_delayed(TaskSlot& task, std::uint32_t seat) noexcept;
  /// ... who finds it on the stack.
  void push_handed_back(std::uint32_t slot) noexcept;
  /// Gives one that waits, in a queue or with the keeper, its outcome. False: it is somebody's.
  bool drop_queued(TaskSlot& task, TaskState outcome) noexcept;

  /// What there is to do when something may be waiting.
  enum class Waking : unsigned char { nothing, rung, call_keeper };
  /// Sees to it that somebody looks.
  [[nodiscard]] Waking wake_worker() noexcept;
  /// Wakes whoever waits for room in a queue, if anybody does.
  void tell_of_room() noexcept;
  /// Wakes so many more at once, if what waits is worth it and they sleep.
  void wake_more(std::size_t workers) noexcept;

 private:
  void ring(std::size_t seat) noexcept;

  struct Cursor {
    std::size_t base = 0;
    std::size_t next = 0;
    std::uint32_t steps = 0;
  };

  struct Plan;
  std::size_t lay_out(std::byte* at, const Plan& plan, std::size_t seats) noexcept;

  os::SharedRegion region_{};
  Fd file_{};
  PoolTable* table_ = nullptr;
  std::span<PoolSeat> seats_{};
  std::span<TaskSlot> slots_{};
  /// Of each slot, where it was put last. Of those who put only: an entry may be older than that.
  std::span<std::atomic<std::uint64_t>> put_at_{};
  std::array<std::span<std::atomic<std::uint64_t>>, kQueues> entries_{};
  std::array<ChunkArea, 2> areas_{};
  std::array<Cursor, 2> cursors_{};
  std::size_t kept_ = std::size_t{64} << 20;
};

}  // namespace tine::work
