// SPDX-License-Identifier: MIT
#include "work/map_run.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "os/io.h"
#include "os/pidfd.h"
#include "os/system_error.h"
#include "tine/random.h"
#include "work/crash_report.h"
#include "work/item_random.h"
#include "work/map_records.h"
#include "work/option_check.h"
#include "work/worker_count.h"

namespace tine::work {

using namespace std::chrono_literals;

namespace {

MapOptions resolved(MapOptions options) {
  if (options.isolation == Isolation::process_per_item) options.recycle.after_items = 1;
  return options;
}

std::string end_text(WorkerStage stage, WorkerSeat::Ending ending,
                     const std::expected<Finished, Error>& finished) {
  if (ending == WorkerSeat::Ending::timed_out) return "timed out";
  if (ending == WorkerSeat::Ending::cancelled) return "cancelled";
  if (ending == WorkerSeat::Ending::out_of_memory) return "out of memory";
  if (stage == WorkerStage::finished) return "no more items";
  if (stage == WorkerStage::retired) return "retired";
  if (stage == WorkerStage::init_failed) return "its initializer failed";
  if (stage == WorkerStage::out_of_memory) return "out of memory";
  return finished ? finished->status.to_string() : finished.error().to_string();
}

Failure out_of_workers(Error error) {
  Failure failure;
  failure.cause = Cause::not_started;
  failure.error = std::move(error);
  return failure;
}

}  // namespace

MapRun::MapRun(const MapOptions& options, detail::MapBody& body)
    : options_(resolved(options)),
      body_(body),
      account_(options_, body,
               [this](std::size_t place, std::uint64_t begin, std::uint64_t end) {
                 const std::size_t each = body_.value_size();
                 memory_.adopt_values(place, begin * each, end * each);
               }),
      count_(account_.count()),
      // Drawn here, so that seed() of the caller makes its maps reproducible.
      seed_(options.seed ? *options.seed : rng()()),
      crew_(options_,
            {.current = [this](const WorkerSeat& seat) { return seat.current_item(count_); },
             .on_ended = [this](WorkerSeat& seat, const auto& end) { on_ended(seat, end); }}) {}

detail::MapOutcome MapRun::run() {
  if (body_.size() > kMostItems) {
    Error error{ErrorKind::invalid_argument, 0, Stage::prepare, subject_of(options_), {}};
    error.hint = "a map takes at most 4,294,967,295 items, not " + std::to_string(body_.size());
    fate_ = out_of_workers(std::move(error));
  } else if (auto wrong = senseless(options_, subject_of(options_))) {
    fate_ = out_of_workers(std::move(*wrong));
  } else if (count_ > 0) {
    if (auto ready = prepare(); ready) {
      work_to_the_end();
    } else {
      fate_ = out_of_workers(std::move(ready.error()));
    }
  }
  detail::MapOutcome outcome;
  const Failure fate = fate_ ? std::move(*fate_) : failure(Cause::lost);
  outcome.failures = account_.all_failures(fate, memory_.values().get());
  outcome.values = memory_.values();
  if (all_in_order_) memory_.allow_reuse();
  insights_.wall = Clock::now() - began_;
  outcome.insights = std::move(insights_);
  return outcome;
}

std::expected<void, Error> MapRun::prepare() {
  worker_count_ = std::min<std::size_t>(count_, worker_count(options_.workers));
  // The parent that helps is one of them, but there is always somebody to do what it leaves.
  if (options_.parent_helps && worker_count_ > 1) --worker_count_;
  const std::size_t count = worker_count_ + (options_.parent_helps ? 1 : 0);
  const auto reach =
      options_.isolation == Isolation::strict ? MapMemory::Reach::own : MapMemory::Reach::all;
  auto memory = MapMemory::create(count, reach, body_.value_size() * count_);
  if (!memory) return std::unexpected(memory.error());
  memory_ = std::move(*memory);
  for (std::size_t i = 0; i < count; ++i) crew_.add_seat(memory_.slot(i), memory_.arena(i));
  last_failure_.resize(count);
  account_.set_places(count);
  notice_ = os::above_stdio(Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
  if (!notice_) return os::failed(Stage::prepare, errno, "the notices of workers");
  prepare_crash_reports();
  return watch_outside();
}

std::expected<void, Error> MapRun::watch_outside() {
  if (auto watched = crew_.loop().watch(notice_.get(), EPOLLIN, [this] { on_notice(); });
      !watched) {
    return watched;
  }
  if (options_.cancel.fd() >= 0) {
    auto watched =
        crew_.loop().watch_once(options_.cancel.fd(), EPOLLIN, [this] { on_cancelled(); });
    if (!watched) return watched;
  }
  if (options_.total_timeout.count() > 0) {
    crew_.loop().at(os::deadline_after(options_.total_timeout), [this] {
      Failure late = failure(Cause::timed_out);
      late.message = "the time of the whole map was up before it could run";
      give_up(std::move(late), true, Ending::timed_out);
    });
  }
  if (options_.progress) {
    crew_.loop().at(Clock::now() + options_.progress_interval, [this] { tick(); });
  }
  crew_.look_after_them();
  return {};
}

void MapRun::work_to_the_end() {
  supply_.deal(count_, seats().size());
  start_workers();
  if (options_.parent_helps && !fate_) help();
  for (;;) {
    while (crew_.alive() > 0 || (delayed_ > 0 && !fate_)) crew_.loop().run_once();
    if (fate_ || !(supply_.has_items() || reclaim_missing())) break;
    start_workers();
  }
  if (options_.progress) report_progress();
}

// ---- Workers ----

/// Nobody stops the map but us, or the failures of items, which we hear of: all else is noise that
/// somebody has written.
void MapRun::allow_work() {
  for (WorkerSeat& seat : seats()) take_failures(seat);
  if (fate_) return;
  supply_.allow();
}

/// As many as there are places and something to do for.
void MapRun::start_workers() {
  allow_work();
  supply_.hand_out();
  for (std::size_t i = 0; i < worker_count_ && !fate_; ++i) {
    WorkerSeat& seat = seats()[i];
    if (seat.is_alive()) continue;
    if (!supply_.has_items()) return;
    if (auto started = start(seat); !started) {
      // With others at work the items are theirs.
      if (crew_.alive() == 0) fate_ = out_of_workers(std::move(started.error()));
      return;
    }
  }
}

std::expected<void, Error> MapRun::start(WorkerSeat& seat) {
  const auto began = Clock::now();
  const std::size_t place = seat.place();
  last_failure_[place] = 0;
  account_.begin_worker(place);
  auto started = crew_.start(seat, [&] { return worker_main(place); });
  insights_.forking += Clock::now() - began;
  if (!started) all_in_order_ = false;  // there may have been one all the same, for a moment
  return started;
}

MapShape MapRun::shape(std::size_t place) noexcept {
  const bool tell_failures =
      options_.retries > 0 || options_.stop.failures > 0 || options_.stop.share > 0;
  // What is tried again has not failed yet, and a worker that sees no other cannot stop it: then
  // it is for this process to tell.
  const bool can_tell = options_.retries == 0 && !memory_.is_strict();
  const std::uint64_t stop_at = can_tell ? failures_to_stop() : 0;
  return {memory_.table(place),
          memory_.slots_seen(place),
          memory_.values_of(place),
          body_,
          options_,
          notice_.get(),
          tell_failures,
          seed_,
          stop_at,
          {}};
}

/// In the child.
int MapRun::worker_main(std::size_t place) {
  enter_worker(worker_count_);
  memory_.keep_only(place);
  const WorkerSeat& seat = seats()[place];
  RecordWriter records(seat.arena(), seat.arena_used());
  MapWorker worker(shape(place), memory_.own_slot(place), records, MapWorker::Where::child);
  return worker.run();
}

/// In the parent: runs items, and sees to the workers after each batch.
void MapRun::help() {
  WorkerSeat& seat = seats().back();
  seat.occupy();
  RecordWriter records(seat.arena(), seat.arena_used());
  MapWorker self(shape(seat.place()), memory_.own_slot(seat.place()), records,
                 MapWorker::Where::parent);
  const ItemStreamScope outer(&seat.slot().runs.front().done, seed_);
  if (self.initialize()) {
    while (!fate_ && self.step()) crew_.loop().run_once(Clock::now());
  }
  account_for(seat, Finished{});
  supply_.close(seat.place());
  start_workers();
}

// ---- What happens to workers ----

void MapRun::on_ended(WorkerSeat& seat, const std::expected<Finished, Error>& finished) {
  account_for(seat, finished);
  supply_.announce();  // who waited for it has to look elsewhere
  start_workers();
}

void MapRun::on_notice() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = os::read_retry(notice_.get(), &count, sizeof count);
  start_workers();  // looks at the failures, and hands out what is to be tried again
}

void MapRun::on_cancelled() { give_up(failure(Cause::cancelled), true, Ending::cancelled); }

/// Nothing new begins. What has no outcome of its own in the end gets `fate`.
void MapRun::give_up(Failure fate, bool kill, Ending why) {
  if (fate_) return;
  fate_ = std::move(fate);
  supply_.stop();
  for (WorkerSeat& seat : seats()) {
    seat.slot().interrupted.fetch_or(kStop, std::memory_order_acq_rel);
  }
  if (kill) crew_.end_all(why);
  supply_.announce();
}

// ---- The account ----

void MapRun::account_for(WorkerSeat& seat, const std::expected<Finished, Error>& finished) {
  take_failures(seat);
  if (body_.has_records()) take_records(seat);
  account_.add_runs(seat.place(), seat.slot());
  note_worker(seat, finished);
  // Its failure record has said it.
  const auto stage = seat.slot().stage.load(std::memory_order_acquire);
  if (stage != WorkerStage::init_failed) blame(seat, finished);
  // Nobody is to wait for a share of its batch.
  seat.slot().limit.store(0, std::memory_order_release);
  if (!finished || !finished->status.success() || seat.records_end() != kArenaStart) {
    all_in_order_ = false;
  }
}

/// Follows the chain of failure records from the newest to the last one that was taken.
void MapRun::take_failures(WorkerSeat& seat) {
  const std::size_t place = seat.place();
  const auto found =
      work::take_failures(seat.slot(), seat.arena(), seat.arena_used(), last_failure_[place]);
  const bool in_initializer = seat.slot().runs_used.load(std::memory_order_acquire) == 0;
  for (const FailureRecord& record : found) {
    Failure made = record.failure();
    made.subject = subject_of(options_);
    made.stderr_tail = seat.errors_between(record.head.errors_begin, record.head.errors_end);
    if (in_initializer)
      return give_up(initializer_failure(std::move(made)), true, Ending::cancelled);
    if (record.item >= count_) continue;
    account_.note_told(place, static_cast<std::uint32_t>(record.item));
    item_failed(static_cast<std::uint32_t>(record.item), std::move(made), false);
  }
}

/// Who has to answer for its end, if it did not end in order, and what others have to do now.
void MapRun::blame(WorkerSeat& seat, const std::expected<Finished, Error>& finished) {
  const auto stage = seat.slot().stage.load(std::memory_order_acquire);
  const bool in_order = stage == WorkerStage::finished || stage == WorkerStage::retired;
  const auto item = seat.current_item(count_);
  const auto meant = seat.item_at_ending();
  Failure made = in_order && !meant ? Failure{} : seat.failure(finished, options_);
  if (!in_order) ++insights_.deaths;
  if (seat.ending() == Ending::none) {
    if (in_order) return take_rest(seat, item.value_or(count_));
    if (!item) return died_idle(seat, std::move(made));
    take_rest(seat, std::uint64_t{*item} + 1);
    if (!account_.has_told_of(seat.place(), seat.slot(), *item))
      item_failed(*item, std::move(made), true);
    return;
  }
  // Until it was dead it may have come further: that item is innocent. An item that was late is
  // late, even if it came to its end while we asked where it is.
  take_rest(seat, item ? *item + (item == meant ? 1u : 0u) : count_);
  if (meant && (item == meant || seat.ending() == Ending::timed_out) &&
      !account_.has_told_of(seat.place(), seat.slot(), *meant)) {
    item_failed(*meant, std::move(made), true);
  }
}

void MapRun::died_idle(WorkerSeat& seat, Failure why) {
  take_rest(seat, count_);
  if (!crew_.is_hopeless(seat, items_done())) return;
  if (was_initializing(seat)) why = initializer_failure(std::move(why));
  give_up(std::move(why), true, Ending::cancelled);
}

/// What it was to do from item `from` of its batch on, and its range, are for others.
void MapRun::take_rest(WorkerSeat& seat, std::uint64_t from) {
  const std::uint64_t limit = seat.slot().limit.load(std::memory_order_acquire);
  if (from < limit && limit <= count_) {
    supply_.put({static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(limit)});
  }
  supply_.take_back(seat.place());
}

Failure MapRun::failure(Cause cause) const {
  Failure made;
  made.cause = cause;
  made.subject = subject_of(options_);
  return made;
}

void MapRun::item_failed(std::uint32_t item, Failure made, bool crashed) {
  const auto next = account_.item_failed(item, std::move(made), crashed, !fate_);
  if (next) return try_again(item, *next);
  check_stop_policy();
}

void MapRun::try_again(std::uint32_t item, int attempt) {
  ++insights_.retries;
  const auto pause =
      options_.retry_delay ? options_.retry_delay(attempt) : std::chrono::nanoseconds(0);
  if (pause.count() <= 0) {
    supply_.put({item, item + 1});
    return;
  }
  ++delayed_;
  crew_.loop().at(os::deadline_after(pause), [this, item] {
    --delayed_;
    supply_.put({item, item + 1});
    start_workers();
  });
}

/// 0: no number of failures stops the map.
std::uint64_t MapRun::failures_to_stop() const noexcept {
  const StopPolicy& stop = options_.stop;
  if (stop.share <= 0) return stop.failures;
  const auto by_share = static_cast<std::uint64_t>(std::ceil(std::min(stop.share, 1.0) * count_));
  return stop.failures > 0 ? std::min<std::uint64_t>(stop.failures, by_share) : by_share;
}

void MapRun::check_stop_policy() {
  const std::uint64_t most = failures_to_stop();
  if (fate_ || most == 0 || account_.failed() < most) return;
  Failure fate = failure(Cause::cancelled);
  fate.message = "not run: the map was stopped after " + std::to_string(account_.failed()) +
                 (account_.failed() == 1 ? " failure" : " failures");
  give_up(std::move(fate), options_.stop.kill, Ending::cancelled);
}

/// If it happens again, each item gets a process of its own: then it is known whose fault it is.
bool MapRun::reclaim_missing() {
  for (const Span& gap : account_.reclaim()) supply_.put(gap);
  if (account_.reclaims() > 1) options_.recycle.after_items = 1;
  return supply_.has_items();
}

void MapRun::note_worker(WorkerSeat& seat, const std::expected<Finished, Error>& finished) {
  const WorkerSlot& slot = seat.slot();
  WorkerInsight insight;
  insight.worker = static_cast<int>(seat.place());
  insight.pid = seat.last_pid();
  insight.started = seat.started() - began_;
  insight.ended = Clock::now() - began_;
  insight.working = std::chrono::nanoseconds(slot.working.load(std::memory_order_relaxed));
  insight.waiting = std::chrono::nanoseconds(slot.waiting.load(std::memory_order_relaxed));
  insight.items = static_cast<std::size_t>(seat.items_done());
  insight.end = end_text(slot.stage.load(std::memory_order_acquire), seat.ending(), finished);
  if (finished) insight.usage = finished->usage;
  insights_.workers.push_back(std::move(insight));
  add_slowest(insights_, slot);
}

// ---- The end ----

void MapRun::take_records(WorkerSeat& seat) {
  const auto end = seat.records_end();
  if (!end) return;
  RecordReader reader(seat.arena(), seat.arena_used(), *end);
  while (const auto record = reader.next()) {
    if (record->kind == RecordKind::value) account_.take_record(record->item, record->content);
  }
}

void MapRun::tick() {
  report_progress();
  crew_.loop().at(Clock::now() + options_.progress_interval, [this] { tick(); });
}

/// With an outcome, as far as is known.
std::uint64_t MapRun::items_done() const noexcept {
  std::uint64_t items = account_.finished();
  for (const WorkerSeat& seat : seats()) items += seat.is_alive() ? seat.items_done() : 0;
  return items;
}

void MapRun::report_progress() {
  MapProgress progress;
  progress.items = count_;
  progress.failed = account_.failed();
  progress.workers = static_cast<int>(crew_.alive());
  progress.done = std::min<std::uint64_t>(items_done(), count_);
  progress.elapsed = Clock::now() - began_;
  options_.progress(progress);
}

}  // namespace tine::work

namespace tine::detail {

MapOutcome run_map(const MapOptions& options, MapBody& body) {
  return work::MapRun(options, body).run();
}

}  // namespace tine::detail
