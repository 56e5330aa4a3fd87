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
#include "os/pidfd.h"
#include "os/system_error.h"
#include "tine/random.h"
#include "work/crash_report.h"
#include "work/map_records.h"
#include "work/region_sink.h"
#include "work/worker_count.h"

namespace tine::work {

using namespace std::chrono_literals;
using detail::StreamItem;
using detail::StreamOrder;

namespace {

constexpr int kMostIdleDeaths = 16;
constexpr int kMostDeathsInInitializer = 3;
constexpr auto kBetweenLooks = 100ms;
constexpr std::size_t kPage = 4096;

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
      window_(options.window > 0 ? options.window : 16 * worker_count_) {}

StreamRun::~StreamRun() {
  for (WorkerSeat& seat : seats_) seat.kill();
  for (WorkerSeat& seat : seats_) {
    if (seat.is_alive()) [[maybe_unused]]
      const auto gone = seat.leave();
  }
}

// ---- Getting ready ----

std::expected<void, Error> StreamRun::prepare() {
  if (auto ready = prepare_memory(); !ready) return ready;
  notice_ = os::above_stdio(Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
  if (!notice_) return os::failed(Stage::prepare, errno, "the notices of workers");
  shape_->notice_fd = notice_.get();
  prepare_crash_reports();
  in_flight_.resize(window_);
  loop_.at(Clock::now() + kBetweenLooks, [this] { look_after_workers(); });
  if (given_options_.cancel.fd() >= 0) {
    auto watched = loop_.watch_once(given_options_.cancel.fd(), EPOLLIN, [this] {
      Failure cancelled;
      cancelled.cause = Cause::cancelled;
      cancelled.subject = subject_of(options_);
      give_up(std::move(cancelled));
    });
    if (!watched) return watched;
  }
  return loop_.watch(notice_.get(), EPOLLIN, [this] {
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
  const std::size_t head = (sizeof(StreamTable) + worker_count_ * sizeof(WorkerSlot) +
                            cells * sizeof(StreamCell) + kPage - 1) /
                           kPage * kPage;
  const std::size_t part = std::min(kMostPart, kMostAll / (2 * cells));
  auto memory = os::SharedRegion::reserve(head + 2 * cells * part, head + 2 * cells * kLeastPart);
  if (!memory) return std::unexpected(memory.error());
  memory_ = std::move(*memory);
  std::byte* at = memory_.data();
  auto& table = *new (at) StreamTable;
  at += sizeof(StreamTable);
  for (std::size_t i = 0; i < worker_count_; ++i, at += sizeof(WorkerSlot)) {
    seats_.emplace_back(i, *new (at) WorkerSlot, os::SharedPart());
  }
  auto* const first = reinterpret_cast<StreamCell*>(at);
  for (std::size_t i = 0; i < cells; ++i) new (first + i) StreamCell;
  const std::size_t half = (memory_.size() - head) / 2 / kPage * kPage;
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

std::size_t StreamRun::alive() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(seats_, &WorkerSeat::is_alive));
}

bool StreamRun::has_filled_cells() const noexcept {
  return std::ranges::any_of(shape_->cells.first(window_), [](const StreamCell& cell) {
    return cell.state.load(std::memory_order_acquire).stage == CellStage::filled;
  });
}

/// As many as there are places, and items in flight.
void StreamRun::start_workers() {
  for (WorkerSeat& seat : seats_) {
    if (fate_ || alive() >= used_cells_ || !has_filled_cells()) return;
    if (seat.is_alive()) continue;
    if (auto started = start(seat); !started) {
      if (alive() > 0) return;  // they have to do
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
  auto started = seat.start(options_, [&] {
    enter_worker(worker_count_);
    return StreamWorker(*shape_, place, seat.slot()).run();
  });
  if (!started) return started;
  auto watched = loop_.watch(seat.fd(), EPOLLIN, [this, &seat] { on_ended(seat); });
  if (!watched) {
    seat.kill();
    [[maybe_unused]] const auto gone = seat.leave();
    return watched;
  }
  if (shape_->timed) {
    loop_.at(os::deadline_after(options_.timeout), [this, &seat] { check_time(seat); });
  }
  return {};
}

void StreamRun::on_ended(WorkerSeat& seat) {
  loop_.unwatch(seat.fd());
  const auto finished = seat.leave();
  const auto stage = seat.slot().stage.load(std::memory_order_acquire);
  const auto place = static_cast<std::uint32_t>(seat.place());
  bool blamed = false;
  for (std::size_t at = 0; at < window_; ++at) {
    const CellState state = shape_->cells[at].state.load(std::memory_order_acquire);
    if (state.stage != CellStage::claimed || state.worker != place) continue;
    blamed = true;
    // It may have claimed it without having begun: who asked for its end meant another one.
    attempt_failed(at, seat.failure(finished, options_));
  }
  if (stage == WorkerStage::init_failed) {
    initializer_failed(failure_in(window_ + place, seat));
  } else if (!blamed && stage != WorkerStage::finished && seat.ending() == Ending::none) {
    ++idle_deaths_;
    const bool in_initializer =
        stage == WorkerStage::starting || stage == WorkerStage::initializing;
    if (idle_deaths_ >= (in_initializer ? kMostDeathsInInitializer : kMostIdleDeaths)) {
      Failure why = seat.failure(finished, options_);
      in_initializer ? initializer_failed(std::move(why)) : give_up(std::move(why));
    }
  }
}

void StreamRun::initializer_failed(Failure why) {
  why.message = "the initializer of a worker failed" +
                (why.message.empty() ? std::string() : ": " + why.message);
  give_up(std::move(why));
}

void StreamRun::check_time(WorkerSeat& seat) {
  if (!seat.is_alive() || seat.ending() != Ending::none) return;
  const auto cell = seat.slot().limit.load(std::memory_order_acquire);
  const std::chrono::nanoseconds began(seat.slot().item_started.load(std::memory_order_acquire));
  const auto now = Clock::now();
  auto due = now + options_.timeout;
  if (cell != 0 && seat.slot().limit.load(std::memory_order_acquire) == cell) {
    due = Clock::time_point(began) + options_.timeout;
    if (due <= now) return end(seat, Ending::timed_out);
  }
  loop_.at(due, [this, &seat] { check_time(seat); });
}

/// TERM now, KILL after the grace, and a second later it is left to the guardian.
void StreamRun::end(WorkerSeat& seat, Ending why) {
  if (seat.ending() != Ending::none) return;
  const pid_t pid = seat.pid();
  seat.end(why, std::nullopt);
  loop_.at(Clock::now() + options_.grace, [this, &seat, pid] {
    if (!seat.is_alive() || seat.pid() != pid) return;
    seat.kill();
    loop_.at(Clock::now() + 1s, [this, &seat, pid] {
      if (seat.is_alive() && seat.pid() == pid) on_ended(seat);
    });
  });
}

/// All that has no outcome yet gets this one.
void StreamRun::give_up(Failure fate) {
  if (fate_) return;
  fate_ = std::move(fate);
  exhausted_ = true;
  for (WorkerSeat& seat : seats_) {
    if (seat.is_alive()) end(seat, Ending::cancelled);
  }
}

/// All is done: they end in order, and write what stands in their buffers.
void StreamRun::dismiss_workers() {
  shape_->table.stop.store(1, std::memory_order_release);
  announce();
  while (alive() > 0) loop_.run_once();
}

void StreamRun::announce() noexcept {
  shape_->table.offers.fetch_add(1, std::memory_order_acq_rel);
  os::futex_wake_all(&shape_->table.offers);
}

void StreamRun::look_after_workers() {
  for (WorkerSeat& seat : seats_) {
    seat.pass_on_errors();
    if (seat.is_too_large()) end(seat, Ending::out_of_memory);
  }
  loop_.at(Clock::now() + kBetweenLooks, [this] { look_after_workers(); });
}

// ---- Results ----

void StreamRun::look_at_failed_cells() {
  for (std::size_t at = 0; at < window_; ++at) {
    const CellState state = shape_->cells[at].state.load(std::memory_order_acquire);
    if (state.stage != CellStage::failed || !in_flight_[at].used || in_flight_[at].failure) {
      continue;
    }
    if (state.worker >= seats_.size()) continue;
    attempt_failed(at, failure_in(at, seats_[state.worker]));
  }
}

/// What a worker has written of a failure; it is not trusted to have written one.
Failure StreamRun::failure_in(std::size_t at, const WorkerSeat& seat) const {
  Failure made;
  made.subject = subject_of(options_);
  const os::SharedPart part = shape_->result(at);
  const std::size_t size = std::min<std::size_t>(
      shape_->cells[at].result_size.load(std::memory_order_acquire), part.size());
  if (size < sizeof(CellFailure)) return made;
  CellFailure head;
  std::memcpy(&head, part.data(), sizeof head);
  const std::span<const std::byte> text(part.data() + sizeof head, size - sizeof head);
  FailureRecord{0, head.kind, head.head, text}.describe(made);
  made.stderr_tail = seat.errors_between(head.head.errors_begin, head.head.errors_end);
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
    ::madvise(part.data(), (used + kPage - 1) / kPage * kPage, MADV_REMOVE);
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
  look_at_failed_cells();  // what was said before anybody was told to say it
  if (!cell_to_give()) loop_.run_once();
  awaited.store(kNobody, std::memory_order_relaxed);
}

/// Now and then: while results come there is no need to look at each.
void StreamRun::see_to_workers() {
  constexpr auto kLooksAtMostEvery = 5ms;
  const auto now = Clock::now();
  if (now < next_look_) return;
  next_look_ = now + kLooksAtMostEvery;
  loop_.run_once(now);
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
    look_at_failed_cells();
    if (const auto cell = cell_to_give()) {
      see_to_workers();
      return give(*cell);
    }
    if (used_cells_ == 0 && exhausted_) break;
    start_workers();
    if (fate_ && alive() == 0) {
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
