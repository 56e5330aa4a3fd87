// SPDX-License-Identifier: MIT
#include "work/chunk_records.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace tine::work {

namespace {

constexpr std::size_t kFirstSegment = std::size_t{4} << 10;
constexpr std::size_t kLargestStep = std::size_t{16} << 20;

}  // namespace

/// At the beginning of each; records follow.
struct ChunkRecords::Segment {
  BytesAt next{};
  std::atomic<std::uint32_t> has_next{0};
  std::uint32_t zero = 0;
  std::atomic<std::uint64_t> used{sizeof(Segment)};
};

bool ChunkRecords::Sink::grow(std::size_t size) {
  if (records_.add_segment(size)) return true;
  set_errno(ENOMEM);
  return false;
}

/// Goes on there, with what there is of the record that is not whole and room for `size` more.
bool ChunkRecords::add_segment(std::size_t size) {
  static_assert(sizeof(Segment) % 8 == 0);
  const std::size_t begun =
      head_ != nullptr ? static_cast<std::size_t>(sink_.next() - head_) : std::size_t{0};
  const std::size_t least = sizeof(Segment) + 2 * begun + size;
  const std::size_t wanted =
      std::max({least, kFirstSegment, std::min(2 * segment_size_, kLargestStep)});
  auto at = memory_.take_chunks(owner_, wanted);
  if (!at) at = memory_.take_chunks(owner_, least);
  if (!at) return false;
  const auto bytes = memory_.chunk(*at);
  auto* const fresh = new (bytes.data()) Segment;
  if (begun > 0) std::memcpy(bytes.data() + sizeof(Segment), head_, begun);
  if (segment_ != nullptr) {
    segment_->next = *at;
    segment_->has_next.store(1, std::memory_order_release);
  } else {
    chain_.first = *at;
    chain_.begun.store(1, std::memory_order_release);
  }
  segment_ = fresh;
  segment_size_ = bytes.size();
  whole_ = sizeof(Segment);
  if (head_ != nullptr) head_ = bytes.data() + whole_;
  sink_.window(bytes.data() + whole_ + begun, bytes.data() + bytes.size());
  return true;
}

void ChunkRecords::begin(std::size_t item, RecordKind kind) {
  head_ = nullptr;
  std::size_t padding = 0;
  if (segment_ != nullptr) {
    auto* const base = reinterpret_cast<std::byte*>(segment_);
    padding = (8 - whole_ % 8) % 8;
    // Over what an exception has left unfinished.
    sink_.window(base + whole_, base + segment_size_);
  }
  const Segment* const before = segment_;
  std::byte* at = sink_.extend(padding + sizeof(RecordHead));
  if (at == nullptr) throw std::bad_alloc{};
  if (segment_ == before) {
    at += padding;
  } else {  // a fresh one needs no padding
    sink_.window(at + sizeof(RecordHead), reinterpret_cast<std::byte*>(segment_) + segment_size_);
  }
  head_ = at;
  const RecordHead head{item, 0, kind, 0};
  std::memcpy(head_, &head, sizeof head);
}

std::size_t ChunkRecords::end_record() noexcept {
  const std::uint64_t size = static_cast<std::size_t>(sink_.next() - head_) - sizeof(RecordHead);
  std::memcpy(head_ + offsetof(RecordHead, size), &size, sizeof size);
  head_ = nullptr;
  whole_ = static_cast<std::size_t>(sink_.next() - reinterpret_cast<std::byte*>(segment_));
  written_ += size + sizeof(RecordHead);
  segment_->used.store(whole_, std::memory_order_release);
  return written_;
}

void read_chunk_records(const PoolMemory& memory, const RecordChain& chain,
                        const std::function<void(const Record&)>& use) {
  using Segment = ChunkRecords::Segment;
  if (chain.begun.load(std::memory_order_acquire) == 0) return;
  BytesAt at = chain.first;
  // As many as there could be, or somebody leads us round in a circle.
  for (std::size_t left = memory.chunks(); left > 0; --left) {
    const auto bytes = memory.chunk(at);
    if (bytes.size() < sizeof(Segment)) return;
    const auto* const segment = reinterpret_cast<const Segment*>(bytes.data());
    const std::uint64_t used = segment->used.load(std::memory_order_acquire);
    if (used < sizeof(Segment) || used > bytes.size()) return;
    RecordReader reader(os::SharedPart(bytes), sizeof(Segment), used);
    while (const auto record = reader.next()) use(*record);
    if (segment->has_next.load(std::memory_order_acquire) == 0) return;
    at = segment->next;
  }
}

void free_chunk_records(PoolMemory& memory, std::uint32_t owner, RecordChain& chain) {
  using Segment = ChunkRecords::Segment;
  if (chain.begun.exchange(0) == 0) return;
  BytesAt at = chain.first;
  for (std::size_t left = memory.chunks(); left > 0; --left) {
    const auto bytes = memory.chunk(at);
    if (bytes.size() < sizeof(Segment)) return;
    const auto* const segment = reinterpret_cast<const Segment*>(bytes.data());
    const bool has_next = segment->has_next.load(std::memory_order_acquire) != 0;
    const BytesAt next = segment->next;
    memory.free_bytes(owner, at);
    if (!has_next) return;
    at = next;
  }
}

}  // namespace tine::work
