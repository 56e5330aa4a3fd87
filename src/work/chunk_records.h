// SPDX-License-Identifier: MIT
#pragma once

/// Records of a worker in the chunks of a pool: segments of growing size, each of which says where
/// the next is and how much of it is whole. A record lies in one of them. Owner: the slot of the
/// map, whose number the chunks have: the worker may die at any instant.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "tine/detail/byte_sink.h"
#include "work/map_records.h"
#include "work/pool_map_memory.h"
#include "work/pool_memory.h"

namespace tine::work {

class ChunkRecords final : public Records {
 public:
  /// `owner`: a slot.
  ChunkRecords(PoolMemory& memory, std::uint32_t owner, RecordChain& chain) noexcept
      : sink_(*this), memory_(memory), owner_(owner), chain_(chain) {}

  void begin(std::size_t item, RecordKind kind) override;
  detail::ByteSink& bytes() noexcept override { return sink_; }
  std::size_t end_record() noexcept override;
  /// A number that grows with each record.
  [[nodiscard]] std::size_t offset() const noexcept override { return written_ + 1; }

 private:
  struct Segment;
  friend void read_chunk_records(const PoolMemory& memory, const RecordChain& chain,
                                 const std::function<void(const Record&)>& use);
  friend void free_chunk_records(PoolMemory& memory, std::uint32_t owner, RecordChain& chain);

  class Sink final : public detail::ByteSink {
   public:
    explicit Sink(ChunkRecords& records) noexcept : records_(records) {}
    using ByteSink::next;
    using ByteSink::window;

   private:
    bool grow(std::size_t size) override;
    ChunkRecords& records_;
  };

  bool add_segment(std::size_t size);

  Sink sink_;
  PoolMemory& memory_;
  const std::uint32_t owner_;
  RecordChain& chain_;
  Segment* segment_ = nullptr;
  std::size_t segment_size_ = 0;
  std::size_t whole_ = 0;      ///< of the segment
  std::byte* head_ = nullptr;  ///< of a record that is not whole
  std::size_t written_ = 0;
};

/// All whole records of a worker, in order. Trusts nothing.
void read_chunk_records(const PoolMemory& memory, const RecordChain& chain,
                        const std::function<void(const Record&)>& use);
/// Requires: the worker has ended.
void free_chunk_records(PoolMemory& memory, std::uint32_t owner, RecordChain& chain);

}  // namespace tine::work
