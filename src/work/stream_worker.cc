// SPDX-License-Identifier: MIT
#include "work/stream_worker.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "os/futex.h"
#include "os/pages.h"
#include "tine/codec.h"
#include "work/child_errors.h"
#include "work/failure_note.h"
#include "work/item_random.h"
#include "work/region_sink.h"
#include "work/to_be_ended.h"

namespace tine::work {

using detail::now_ns;

namespace {

constexpr std::size_t kLargestStep = std::size_t{4} << 20;

os::SharedPart part_of(os::SharedPart whole, std::size_t index, std::size_t count) noexcept {
  const std::size_t size = os::pages_within(whole.size() / count);
  return os::SharedPart(std::span(whole.data() + index * size, size));
}

}  // namespace

os::SharedPart StreamShape::input(std::size_t cell) const noexcept {
  return part_of(inputs, cell, cells.size());
}

os::SharedPart StreamShape::result(std::size_t cell) const noexcept {
  return part_of(results, cell, cells.size());
}

int StreamWorker::run() noexcept {
  try {
    if (!initialize()) return 1;
    while (const auto cell = claim()) run_item(*cell);
  } catch (const std::bad_alloc&) {
    slot_.stage.store(WorkerStage::out_of_memory, std::memory_order_release);
    return 1;
  }
  slot_.stage.store(WorkerStage::finished, std::memory_order_release);
  return 0;
}

bool StreamWorker::initialize() {
  slot_.stage.store(WorkerStage::initializing, std::memory_order_release);
  try {
    shape_.body.begin_worker();
    slot_.stage.store(WorkerStage::working, std::memory_order_release);
    return true;
  } catch (...) {
    note_failure(shape_.window + place_, 0);
    slot_.stage.store(WorkerStage::init_failed, std::memory_order_release);
    return false;
  }
}

bool StreamWorker::must_stop() const noexcept {
  return shape_.table.stop.load(std::memory_order_acquire) != 0 ||
         slot_.interrupted.load(std::memory_order_acquire) != 0 ||
         (shape_.recycle_after > 0 && items_done_ >= shape_.recycle_after) ||
         errors_ >= kMostErrors;
}

std::optional<std::size_t> StreamWorker::claim() noexcept {
  for (;;) {
    const std::uint32_t offers = shape_.table.offers.load(std::memory_order_acquire);
    if (must_stop()) return std::nullopt;
    for (std::size_t i = 0; i < shape_.window; ++i) {
      const std::size_t at = (next_cell_ + i) % shape_.window;
      auto& state = shape_.cells[at].state;
      CellState seen = state.load(std::memory_order_acquire);
      if (seen.stage != CellStage::filled ||
          !state.compare_exchange_strong(seen, {CellStage::claimed, place_},
                                         std::memory_order_acq_rel)) {
        continue;
      }
      next_cell_ = at + 1;
      return at;
    }
    const std::int64_t began = now_ns();
    os::futex_wait(&shape_.table.offers, offers);
    slot_.waiting.fetch_add(now_ns() - began, std::memory_order_relaxed);
  }
}

void StreamWorker::run_item(std::size_t at) {
  StreamCell& cell = shape_.cells[at];
  const std::int64_t began = shape_.timed ? now_ns() : 0;
  slot_.item_started.store(began, std::memory_order_relaxed);
  slot_.limit.store(at + 1, std::memory_order_release);
  errors_ = errors_written();
  slot_.errors_at_batch.store(errors_, std::memory_order_relaxed);
  use_item_stream(&cell.item, shape_.seed);
  const os::SharedPart input = shape_.input(at);
  const std::size_t size =
      std::min<std::size_t>(cell.input_size.load(std::memory_order_relaxed), input.size());
  RegionSink sink(shape_.result(at), 0, cell.result_ready.load(std::memory_order_relaxed),
                  kLargestStep);
  try {
    shape_.body.run(cell.item.load(std::memory_order_relaxed), {input.data(), size}, sink);
    conclude(at, CellStage::done, sink);
  } catch (...) {
    note_failure(at, began);
  }
  ++items_done_;
}

void StreamWorker::conclude(std::size_t at, CellStage stage, const RegionSink& sink) noexcept {
  process_.end_if_copied();
  if (slot_.interrupted.load() != 0) wait_to_be_ended();
  StreamCell& cell = shape_.cells[at];
  cell.result_size.store(sink.position(), std::memory_order_relaxed);
  cell.result_ready.store(sink.ready(), std::memory_order_relaxed);
  slot_.limit.store(0, std::memory_order_release);
  cell.state.store({stage, place_}, std::memory_order_seq_cst);
  const std::uint32_t awaited = shape_.table.awaited.load(std::memory_order_seq_cst);
  if (awaited != kAnyCell && awaited != at + 1) return;
  const std::uint64_t one = 1;
  // Full: the parent has been told often enough.
  [[maybe_unused]] const auto told = ::write(shape_.notice_fd, &one, sizeof one);
}

/// In a handler. Throws bad_alloc when there is no memory even for that.
void StreamWorker::note_failure(std::size_t at, std::int64_t began) {
  const auto note = encode(note_in_flight()).value_or(std::vector<std::byte>{});
  RegionSink sink(shape_.result(at), 0, 0, kLargestStep);
  const FailureHead head{0, slot_.errors_at_batch.load(std::memory_order_relaxed), errors_written(),
                         began > 0 ? now_ns() - began : 0};
  std::byte* const to = sink.extend(sizeof head + note.size());
  if (to == nullptr) throw std::bad_alloc{};
  std::memcpy(to, &head, sizeof head);
  if (!note.empty()) std::memcpy(to + sizeof head, note.data(), note.size());
  conclude(at, CellStage::failed, sink);
}

std::uint64_t StreamWorker::errors_written() const noexcept {
  const off_t at = ::lseek(STDERR_FILENO, 0, SEEK_CUR);
  return at > 0 ? static_cast<std::uint64_t>(at) : 0;
}

}  // namespace tine::work
