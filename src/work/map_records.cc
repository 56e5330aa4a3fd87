// SPDX-License-Identifier: MIT
#include "work/map_records.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <new>

#include "tine/codec.h"
#include "work/failure_note.h"

namespace tine::work {

void RecordWriter::begin(std::size_t item, RecordKind kind) {
  sink_.rewind(whole_);  // over what an exception has left unfinished
  const std::size_t padding = (8 - whole_ % 8) % 8;
  std::byte* const at = sink_.extend(padding + sizeof(RecordHead));
  if (at == nullptr) throw std::bad_alloc{};
  head_ = at + padding;
  const RecordHead head{item, 0, kind, 0};
  std::memcpy(head_, &head, sizeof head);
  content_ = sink_.position();
}

std::size_t RecordWriter::end_record() noexcept {
  whole_ = sink_.position();
  const std::uint64_t size = whole_ - content_;
  std::memcpy(head_ + offsetof(RecordHead, size), &size, sizeof size);
  return whole_;
}

std::optional<Record> RecordReader::next() noexcept {
  const std::size_t begin = (at_ + 7) / 8 * 8;
  if (begin > bytes_.size() || bytes_.size() - begin < sizeof(RecordHead)) return std::nullopt;
  RecordHead head;
  std::memcpy(&head, bytes_.data() + begin, sizeof head);
  const std::size_t content = begin + sizeof head;
  if (head.size > bytes_.size() - content) return std::nullopt;
  at_ = content + static_cast<std::size_t>(head.size);
  return Record{head.item, head.kind, bytes_.subspan(content, static_cast<std::size_t>(head.size))};
}

std::vector<FailureRecord> take_failures(const WorkerSlot& slot, os::SharedPart arena,
                                         std::size_t begin, std::uint64_t& since) {
  std::vector<FailureRecord> found;
  const std::uint64_t newest = slot.last_failure.load(std::memory_order_acquire);
  const std::size_t written =
      std::min(slot.written.load(std::memory_order_acquire), std::uint64_t{arena.size()});
  // Each is older than the one before, or somebody leads us round in a circle.
  std::uint64_t at = newest;
  std::uint64_t last = written;
  while (at != 0 && at != since && at >= begin && at < last) {
    RecordReader reader(arena, static_cast<std::size_t>(at), written);
    const auto record = reader.next();
    if (!record || record->kind != RecordKind::failure ||
        record->content.size() < sizeof(FailureHead)) {
      break;
    }
    FailureRecord failure{record->item, {}, record->content.subspan(sizeof(FailureHead))};
    std::memcpy(&failure.head, record->content.data(), sizeof failure.head);
    found.push_back(failure);
    last = at;
    at = failure.head.previous;
  }
  if (!found.empty()) since = newest;
  std::ranges::reverse(found);
  return found;
}

Failure FailureRecord::failure() const {
  Failure made;
  if (const auto told = decode<FailureNote>(note)) {
    made = told->to_failure();
  } else {
    made.cause = Cause::undecodable;
    made.error = told.error();
  }
  made.elapsed = std::chrono::nanoseconds(head.elapsed);
  return made;
}

}  // namespace tine::work
