// SPDX-License-Identifier: MIT
#include "work/stream_run.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "os/futex.h"
#include "os/io.h"
#include "os/pages.h"
#include "os/pidfd.h"
#include "os/system_error.h"
#include "tine/random.h"
#include "work/crash_report.h"
#include "work/map_records.h"
#include "work/option_check.h"
#include "work/region_sink.h"
#include "work/worker_count.h"

namespace tine::work {

using namespace std::chrono_literals;
using detail::StreamItem;
using detail::StreamOrder;

namespace {

MapOptions seat_options(const LazyMapOptions& lazy) {
  MapOptions options;
  options.timeout = lazy.timeout;
  options.grace = lazy.grace;
  options.memory = lazy.memory;
  options.name = lazy.name;
  options.threads = lazy.threads;
  options.core_dump = lazy.core_dump;
  return options;
}

}  // namespace

StreamRun::StreamRun(const LazyMapOptions& options, StreamOrder order, detail::StreamBody& body)
    : options_(seat_options(options)),
      given_options_(options),
      order_(order),
      body_(body),
      worker_count_(worker_count(options.workers)),
      window_(options.window > 0 ? options.window : 16 * worker_count_),
      crew_(options_,
            {.current = [this](const WorkerSeat& seat) { return current_cell(seat); },
             .on_ended = [this](WorkerSeat& seat, const auto& end) { on_ended(seat, end); }}) {}

// ---- Getting ready ----

std::expected<void, Error> StreamRun::prepare() {
  if (auto wrong = senseless(given_options_, subject_of(options_))) {
    return std::unexpected(std::move(*wrong));
  }
  if (auto ready = prepare_memory(); !ready) return ready;
  notice_ = os::above_stdio(Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
  if (!notice_) return os::failed(Stage::prepare, errno, "the notices of workers");
  shape_->notice_fd = notice_.get();
  prepare_crash_reports();
  in_flight_.resize(window_);
  crew_.look_after_them();
  if (given_options_.cancel.fd() >= 0) {
    auto watched = crew_.loop().watch_once(given_options_.cancel.fd(), EPOLLIN, [this] {
      Failure cancelled;
      cancelled.cause = Cause::cancelled;
      cancelled.subject = subject_of(options_);
      give_up(std::move(cancelled));
    });
    if (!watched) return watched;
  }
  return crew_.loop().watch(notice_.get(), EPOLLIN, [this] {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = os::read_retry(notice_.get(), &count, sizeof count);
  });
}

/// One mapping, of which pages are used as they are needed: the table, the slots, the cells, and
/// for each cell a part for its input and one for its result.
std::expected<void, Error> StreamRun::prepare_memory() {
  constexpr std::size_t kMostPart = std::size_t{16} << 30;  // of address space
  constexpr std::size_t kMostAll = std::size_t{16} << 40;
  constexpr std::size_t kLeastPart = std::size_t{64} << 10;
  const std::size_t cells = window_ + worker_count_;
  const std::size_t head = os::pages_for(sizeof(StreamTable) + worker_count_ * sizeof(WorkerSlot) +
                                         cells * sizeof(StreamCell));
  const std::size_t part = std::min(kMostPart, kMostAll / (2 * cells));
  auto memory = os::SharedRegion::reserve(head + 2 * cells * part, head + 2 * cells * kLeastPart);
  if (!memory) return std::unexpected(memory.error());
  memory_ = std::move(*memory);
  std::byte* at = memory_.data();
  auto& table = *new (at) StreamTable;
  at += sizeof(StreamTable);
  for (std::size_t i = 0; i < worker_count_; ++i, at += sizeof(WorkerSlot)) {
    crew_.add_seat(*new (at) WorkerSlot, os::SharedPart());
  }
  auto* const first = reinterpret_cast<StreamCell*>(at);
  for (std::size_t i = 0; i < cells; ++i) new (first + i) StreamCell;
  const std::size_t half = os::pages_within((memory_.size() - head) / 2);
  const auto seed = given_options_.seed ? *given_options_.seed : rng()();
  shape_.emplace(StreamShape{table,
                             {first, cells},
                             window_,
                             os::SharedPart(std::span(memory_.data() + head, half)),
                             os::SharedPart(std::span(memory_.data() + head + half, half)),
                             body_,
                             -1,
                             seed,
                             options_.timeout.count() > 0,
                             given_options_.recycle_after});
  return {};
}

// ---- Inputs ----

std::optional<std::size_t> StreamRun::free_cell() const noexcept {
  if (used_cells_ >= window_) return std::nullopt;
  // In order they are used in turn; a cell that is free out of turn is found as well.
  for (std::size_t i = 0; i < window_; ++i) {
    const std::size_t at = (next_item_ + i) % window_;
    if (!in_flight_[at].used) return at;
  }
  return std::nullopt;
}

/// As many as there is room for.
void StreamRun::refill() {
  bool any = false;
  while (!exhausted_ && !fate_) {
    const auto cell = free_cell();
    if (!cell || !pull_into(*cell)) break;
    any = true;
  }
  if (!any) return;
  announce();
}

bool StreamRun::pull_into(std::size_t at) {
  StreamCell& cell = shape_->cells[at];
  constexpr std::size_t kLargestStep = std::size_t{4} << 20;
  RegionSink sink(shape_->input(at), 0, cell.input_size.load(std::memory_order_relaxed),
                  kLargestStep);
  try {
    if (!body_.pull(sink)) {
      exhausted_ = true;
      return false;
    }
  } catch (...) {
    input_error_ = std::current_exception();
    exhausted_ = true;
    return false;
  }
  cell.input_size.store(sink.position(), std::memory_order_relaxed);
  cell.item.store(next_item_, std::memory_order_relaxed);
  in_flight_[at] = {true, next_item_++, 0, std::nullopt};
  ++used_cells_;
  cell.state.store({CellStage::filled, 0}, std::memory_order_release);
  return true;
}

// ---- Workers ----

bool StreamRun::has_filled_cells() const noexcept {
  return std::ranges::any_of(shape_->cells.first(window_), [](const StreamCell& cell) {
    return cell.state.load(std::memory_order_acquire).stage == CellStage::filled;
  });
}

/// As many as there are places, and items in flight.
void StreamRun::start_workers() {
  for (WorkerSeat& seat : crew_.seats()) {
    if (fate_ || crew_.alive() >= used_cells_ || !has_filled_cells()) return;
    if (seat.is_alive()) continue;
    if (auto started = start(seat); !started) {
      if (crew_.alive() > 0) return;  // they have to do
      Failure failure;
      failure.cause = Cause::not_started;
      failure.subject = subject_of(options_);
      failure.error = std::move(started.error());
      return give_up(std::move(failure));
    }
  }
}

std::expected<void, Error> StreamRun::start(WorkerSeat& seat) {
  const auto place = static_cast<std::uint32_t>(seat.place());
  return crew_.start(seat, [&] {
    enter_worker(worker_count_);
    return StreamWorker(*shape_, place, seat.slot()).run();
  });
}

/// The cell that it runs, as far as it says so.
std::optional<std::uint32_t> StreamRun::current_cell(const WorkerSeat& seat) const noexcept {
  const std::uint64_t cell = seat.slot().limit.load(std::memory_order_acquire);
  if (cell == 0 || cell > window_) return std::nullopt;
  return static_cast<std::uint32_t>(cell - 1);
}

void StreamRun::on_ended(WorkerSeat& seat, const std::expected<Finished, Error>& finished) {
  const auto stage = seat.slot().stage.load(std::memory_order_acquire);
  if (stage == WorkerStage::init_failed) {
    const Failure why = failure_in(window_ + seat.place(), seat);
    return give_up(initializer_failure(why));
  }
  bool had_one = false;
  for (std::size_t at = 0; at < window_; ++at) {
    const CellState state = shape_->cells[at].state.load(std::memory_order_acquire);
    if (state.stage != CellStage::claimed || state.worker != seat.place()) continue;
    had_one = true;
    // Who asked for its end meant another one, which it has come to the end of since.
    const bool innocent = seat.item_at_ending() && seat.item_at_ending() != at;
    innocent ? offer(at) : attempt_failed(at, seat.failure(finished, options_));
  }
  const bool in_order = stage == WorkerStage::finished || seat.ending() != Ending::none;
  if (had_one || in_order || !crew_.is_hopeless(seat, next_item_ + next_given_)) return;
  Failure why = seat.failure(finished, options_);
  give_up(was_initializing(seat) ? initializer_failure(std::move(why)) : std::move(why));
}

/// All that has no outcome yet gets this one.
void StreamRun::give_up(Failure fate) {
  if (fate_) return;
  fate_ = std::move(fate);
  exhausted_ = true;
  crew_.end_all(Ending::cancelled);
}

/// All is done: they end in order, and write what stands in their buffers.
void StreamRun::dismiss_workers() {
  shape_->table.stop.store(1, std::memory_order_release);
  announce();
  while (crew_.alive() > 0) crew_.loop().run_once();
}

void StreamRun::announce() noexcept {
  shape_->table.offers.fetch_add(1, std::memory_order_acq_rel);
  os::futex_wake_all(&shape_->table.offers);
}

// ---- Results ----

/// Failures that workers have told of; and cells in a state that nobody would ever change, which
/// somebody has scribbled over: these begin anew.
void StreamRun::look_at_cells() {
  for (std::size_t at = 0; at < window_; ++at) {
    if (!in_flight_[at].used || in_flight_[at].failure) continue;
    const CellState state = shape_->cells[at].state.load(std::memory_order_acquire);
    if (state.stage == CellStage::filled || state.stage == CellStage::done) continue;
    const bool known = state.worker < crew_.seats().size();
    if (state.stage == CellStage::failed && known) {
      attempt_failed(at, failure_in(at, crew_.seats()[state.worker]));
    } else if (state.stage != CellStage::claimed || !known ||
               !crew_.seats()[state.worker].is_alive()) {
      offer(at);
    }
  }
}

/// What a worker has written of a failure; it is not trusted to have written one.
Failure StreamRun::failure_in(std::size_t at, const WorkerSeat& seat) const {
  const os::SharedPart part = shape_->result(at);
  const std::size_t size = std::min<std::size_t>(
      shape_->cells[at].result_size.load(std::memory_order_acquire), part.size());
  FailureRecord record{};
  if (size >= sizeof record.head) {
    std::memcpy(&record.head, part.data(), sizeof record.head);
    record.note = {part.data() + sizeof record.head, size - sizeof record.head};
  }
  Failure made = record.failure();
  made.subject = subject_of(options_);
  made.stderr_tail = seat.errors_between(record.head.errors_begin, record.head.errors_end);
  return made;
}

void StreamRun::attempt_failed(std::size_t at, Failure failure) {
  InFlight& item = in_flight_[at];
  if (!item.used) return;
  failure.attempts = ++item.attempts;
  const bool again = !fate_ && failure.cause != Cause::cancelled &&
                     item.attempts <= given_options_.retries &&
                     (!given_options_.retry_if || given_options_.retry_if(failure));
  if (!again) {
    item.failure = std::move(failure);
    shape_->cells[at].state.store({CellStage::failed, 0}, std::memory_order_release);
    return;
  }
  offer(at);
}

/// To whoever is free.
void StreamRun::offer(std::size_t at) {
  shape_->cells[at].state.store({CellStage::filled, 0}, std::memory_order_release);
  announce();
}

bool StreamRun::is_over(std::size_t at) const noexcept {
  if (!in_flight_[at].used) return false;
  return in_flight_[at].failure ||
         shape_->cells[at].state.load(std::memory_order_acquire).stage == CellStage::done;
}

std::optional<std::size_t> StreamRun::cell_to_give() const noexcept {
  for (std::size_t i = 0; i < window_; ++i) {
    const std::size_t at = (next_given_ + i) % window_;
    if (!in_flight_[at].used) continue;
    if (order_ == StreamOrder::inputs && in_flight_[at].item != next_given_) continue;
    if (is_over(at)) return at;
    if (order_ == StreamOrder::inputs) return std::nullopt;
  }
  return std::nullopt;
}

StreamItem StreamRun::give(std::size_t at) {
  given_ = at;
  ++next_given_;
  InFlight& item = in_flight_[at];
  StreamItem result{item.item, {}, std::move(item.failure)};
  if (!result.failure) {
    const os::SharedPart part = shape_->result(at);
    const std::size_t size = std::min<std::size_t>(
        shape_->cells[at].result_size.load(std::memory_order_acquire), part.size());
    result.result = {part.data(), size};
  }
  return result;
}

/// The caller has done with the last result: its cell is free, and memory above a little goes back.
void StreamRun::recycle_given() {
  if (!given_) return;
  const std::size_t at = *std::exchange(given_, std::nullopt);
  StreamCell& cell = shape_->cells[at];
  constexpr std::size_t kKeep = std::size_t{1} << 20;
  for (const auto& [part, ready] : {std::pair(shape_->result(at), &cell.result_ready),
                                    std::pair(shape_->input(at), &cell.input_size)}) {
    const std::size_t used =
        std::min<std::size_t>(ready->load(std::memory_order_relaxed), part.size());
    if (used <= kKeep) continue;
    ::madvise(part.data(), os::pages_for(used), MADV_REMOVE);
    ready->store(0, std::memory_order_relaxed);
  }
  in_flight_[at].used = false;
  --used_cells_;
  cell.state.store({CellStage::empty, 0}, std::memory_order_release);
}

/// Sleeps until there is a result that can be given, or something else has happened.
void StreamRun::wait() {
  auto& awaited = shape_->table.awaited;
  std::uint32_t wanted = kAnyCell;
  if (order_ == StreamOrder::inputs && given_options_.retries == 0) {
    for (std::size_t at = 0; at < window_; ++at) {
      if (in_flight_[at].used && in_flight_[at].item == next_given_) {
        wanted = static_cast<std::uint32_t>(at + 1);
      }
    }
  }
  awaited.store(wanted, std::memory_order_seq_cst);
  look_at_cells();  // what was said before anybody was told to say it
  if (!cell_to_give()) crew_.loop().run_once();
  awaited.store(kNobody, std::memory_order_relaxed);
}

/// Now and then: while results come there is no need to look at each.
void StreamRun::see_to_workers() {
  constexpr auto kLooksAtMostEvery = 5ms;
  const auto now = Clock::now();
  if (now < next_look_) return;
  next_look_ = now + kLooksAtMostEvery;
  crew_.loop().run_once(now);
  start_workers();
}

std::optional<StreamItem> StreamRun::next() {
  if (!std::exchange(prepared_, true)) {
    if (auto ready = prepare(); !ready) {
      // There is nothing to give an item its place in: one result says it, and there is no other.
      Failure failure;
      failure.cause = Cause::not_started;
      failure.subject = subject_of(options_);
      failure.error = std::move(ready.error());
      shape_.reset();
      return StreamItem{0, {}, std::move(failure)};
    }
  }
  if (!shape_) return std::nullopt;
  recycle_given();
  for (;;) {
    refill();
    look_at_cells();
    if (const auto cell = cell_to_give()) {
      see_to_workers();
      return give(*cell);
    }
    if (used_cells_ == 0 && exhausted_) break;
    start_workers();
    if (fate_ && crew_.alive() == 0) {
      for (InFlight& item : in_flight_) {
        if (item.used && !item.failure) item.failure = *fate_;
      }
      continue;
    }
    wait();
  }
  dismiss_workers();
  if (input_error_) std::rethrow_exception(std::exchange(input_error_, nullptr));
  return std::nullopt;
}

}  // namespace tine::work

namespace tine::detail {

Stream::Stream(const LazyMapOptions& options, StreamOrder order, StreamBody& body)
    : run_(std::make_unique<work::StreamRun>(options, order, body)) {}
Stream::~Stream() = default;
std::optional<StreamItem> Stream::next() { return run_->next(); }

}  // namespace tine::detail
