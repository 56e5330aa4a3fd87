// SPDX-License-Identifier: MIT
#include "work/pool_map.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "os/life_word.h"
#include "tine/random.h"
#include "work/chunk_records.h"
#include "work/worker_seat.h"

namespace tine::work {

using detail::PoolCore;

namespace {

constexpr int kMostDeathsAtNothing = 16;

MapOptions map_options(const PoolCore& core, const detail::MapOrder& order) {
  MapOptions options;
  options.retries = order.part.retries;
  options.crash_retries = core.options().crash_retries;
  options.retry_if = order.part.retry_if;
  options.name = !order.name.empty() ? order.name : core.options().name;
  if (options.name.empty()) options.name = "a task";
  return options;
}

std::string end_text(const Failure& failure) {
  const bool by_itself = failure.cause == Cause::exited || failure.cause == Cause::signaled;
  return by_itself && failure.status ? failure.status->to_string()
                                     : std::string(to_string(failure.cause));
}

}  // namespace

PoolMap::PoolMap(std::shared_ptr<PoolCore> core, const detail::MapOrder& order,
                 detail::MapInputs& inputs, detail::MapBody& body)
    : core_(std::move(core)),
      order_(order),
      inputs_(inputs),
      body_(body),
      options_(map_options(*core_, order)),
      account_(options_, body) {}

PoolMap::~PoolMap() {
  if (!held_) return;
  try {
    stop_parts();
    held_->has_deaths = true;  // what its parts have left is in nobody's account
    core_->release_map(std::move(*held_));
  } catch (const std::bad_alloc&) {
    // Then its memory is free when the pool goes.
  }
}

detail::MapOutcome PoolMap::run() {
  if (account_.count() > 0 && prepare()) work_to_the_end();
  detail::MapOutcome outcome;
  const std::byte* values = nullptr;
  if (held_) {
    outcome.values = core_->release_map(std::move(*held_));
    held_.reset();
    values = outcome.values.get();
  }
  Failure fate;
  if (fate_) fate = std::move(*fate_);
  fate.subject = subject_of(options_);
  outcome.failures = account_.all_failures(fate, values);
  core_->count_items(account_.count(), outcome.failures.items(), submitted_, failed_parts_);
  insights_.wall = Clock::now() - began_;
  outcome.insights = std::move(insights_);
  return outcome;
}

/// False: there is a fate.
bool PoolMap::prepare() {
  if (body_.size() > kMostItems) {
    fate_ = Failure{};
    fate_->cause = Cause::not_started;
    fate_->error =
        Error{ErrorKind::invalid_argument, 0, Stage::prepare, "a pool",
              "a map takes at most 4,294,967,295 items, not " + std::to_string(body_.size())};
    return false;
  }
  const std::size_t places = std::min<std::size_t>(account_.count(), core_->places());
  const std::size_t inputs = inputs_.bytes();
  auto held = core_->hold_map(PoolMapMemory::size(places, inputs),
                              body_.value_size() * account_.count(), account_.count());
  if (!held) {
    fate_ = std::move(*held.error());
    return false;
  }
  held_ = std::move(*held);
  memory_.emplace(core_->map_bytes(*held_), account_.count(), static_cast<std::uint32_t>(places),
                  inputs);
  memory_->head().timeout = order_.part.timeout.count();
  memory_->head().seed = rng()();
  inputs_.write(memory_->inputs().data());
  places_ = MapMemory::over(memory_->head().table, memory_->slots());
  supply_.emplace(places_);
  parts_.resize(places);
  account_.set_places(places);
  if (inputs_.refused().empty()) {
    supply_->deal(account_.count(), places);
    return true;
  }
  supply_->deal(account_.count(), 0);
  for (const auto& [item, error] : inputs_.refused()) {
    Failure made;
    made.cause = Cause::not_started;
    made.subject = subject_of(options_);
    made.message = error.to_string();
    made.error = error;
    account_.refuse(static_cast<std::uint32_t>(item), std::move(made));
  }
  for (const Span& rest : account_.missing()) supply_->put(rest);
  return true;
}

void PoolMap::work_to_the_end() {
  while (account_.finished() < account_.count()) {
    take_delayed();
    const bool any = (!fate_ && submit_parts()) || active() > 0;
    if (!any && fate_) break;
    if (!any && delayed_.empty()) {
      if (!reclaim_missing()) break;
      continue;
    }
    wait_for_parts();
    for (std::size_t place = 0; place < parts_.size(); ++place) {
      const Part& part = parts_[place];
      if (part.slot != kNoSlot && core_->has_ended(part.slot)) account_for(place);
    }
  }
  withdraw_parts();
}

std::size_t PoolMap::active() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(parts_, [](const Part& part) { return part.slot != kNoSlot; }));
}

// ---- Parts ----

/// As many as there are places and something to do for. False: none was submitted.
bool PoolMap::submit_parts() {
  if (!supply_->has_items()) return false;
  supply_->hand_out();
  std::size_t submitted = 0;
  const std::size_t most = std::min(parts_.size(), core_->places());
  for (std::size_t place = 0; place < most && !fate_; ++place) {
    if (parts_[place].slot == kNoSlot && submit(place)) ++submitted;
  }
  if (submitted == 0) return false;
  core_->wake_worker();
  core_->wake_more(submitted - 1);
  return true;
}

bool PoolMap::submit(std::size_t place) {
  detail::TaskRequest request = order_.part;
  request.size = sizeof(PartHead) + order_.function.size();
  request.timeout = {};  // those of items are the worker's affair, and their retries ours
  request.retries = 0;
  auto slot = core_->begin(request, detail::WhenFull::wait);
  if (!slot) {
    // With others at work the items are theirs.
    if (active() == 0) give_up(std::move(*slot.error()));
    return false;
  }
  if (std::exchange(parts_[place].is_used, true)) memory_->clear(place);
  account_.begin_worker(place);
  std::byte* const to = core_->arguments(**slot);
  const PartHead head{held_->map, static_cast<std::uint32_t>(place)};
  std::memcpy(to, &head, sizeof head);
  if (!order_.function.empty()) {
    std::memcpy(to + sizeof head, order_.function.data(), order_.function.size());
  }
  parts_[place].slot = **slot;
  parts_[place].submitted = Clock::now();
  core_->memory().slots()[**slot].rules |= kIsPart;
  held_->parts.push_back(**slot);
  ++submitted_;
  core_->put(**slot);
  return true;
}

/// Until one of them has ended, or the keeper has.
void PoolMap::wait_for_parts() {
  std::vector<std::uint32_t> slots;
  for (const Part& part : parts_) {
    if (part.slot != kNoSlot) slots.push_back(part.slot);
  }
  core_->wait_for_any(slots, delayed_.empty() ? Clock::time_point::max() : delayed_.begin()->first);
}

/// Nobody has to begin any more; who is about to finds nothing.
void PoolMap::withdraw_parts() {
  supply_->stop();
  supply_->announce();
  for (Part& part : parts_) {
    if (part.slot != kNoSlot) core_->withdraw(part.slot);
  }
}

// ---- The account ----

void PoolMap::account_for(std::size_t place) {
  const std::uint32_t slot = std::exchange(parts_[place].slot, kNoSlot);
  WorkerSlot& worker = memory_->slots()[place];
  take_records(place);
  account_.add_runs(place, worker);
  auto ended = core_->outcome(slot, options_.name);
  if (ended) {
    note_part(place, "no more items, or needed elsewhere");
    take_rest(place, worker.current_item(account_.count()).value_or(account_.count()));
  } else {
    ++failed_parts_;
    held_->has_deaths = true;
    note_part(place, end_text(ended.error()));
    blame(place, std::move(ended.error()));
  }
  worker.limit.store(0, std::memory_order_release);
  core_->release_part(*held_, slot);
  supply_->announce();
}

void PoolMap::take_records(std::size_t place) {
  RecordChain& chain = memory_->chain(place);
  read_chunk_records(core_->memory(), chain, [&](const Record& record) {
    if (record.kind == RecordKind::value) {
      return account_.take_record(record.item, record.content);
    }
    FailureRecord failure{record.item, {}, {}};
    if (record.item >= account_.count() || record.content.size() < sizeof failure.head) return;
    std::memcpy(&failure.head, record.content.data(), sizeof failure.head);
    failure.note = record.content.subspan(sizeof failure.head);
    Failure made = failure.failure();
    made.subject = subject_of(options_);
    const auto item = static_cast<std::uint32_t>(record.item);
    account_.note_told(place, item);
    item_failed(item, std::move(made), false);
  });
  core_->free_records(*held_, chain);
}

/// Who has to answer for the end of a worker, and what others have to do now.
void PoolMap::blame(std::size_t place, Failure made) {
  WorkerSlot& worker = memory_->slots()[place];
  const auto item = worker.current_item(account_.count());
  const bool is_nobodys = made.cause == Cause::cancelled || made.cause == Cause::lost ||
                          made.cause == Cause::not_started;
  if (is_nobodys) return give_up(std::move(made));
  ++insights_.deaths;
  take_rest(place, item ? *item + std::uint64_t{1} : account_.count());
  if (!item) return died_idle(std::move(made));
  if (!account_.has_told_of(place, worker, *item)) item_failed(*item, std::move(made), true);
}

/// A death that is no item's: all of them are given up only when that goes on and on.
void PoolMap::died_idle(Failure made) {
  const bool has_progress =
      std::exchange(progress_at_death_, account_.finished()) != account_.finished();
  idle_deaths_ = has_progress ? 1 : idle_deaths_ + 1;
  if (core_->is_broken() || idle_deaths_ >= kMostDeathsAtNothing) give_up(std::move(made));
}

/// What a worker was to do from item `from` of its batch on, and its range, are for others.
void PoolMap::take_rest(std::size_t place, std::uint64_t from) {
  const std::uint64_t limit = memory_->slots()[place].limit.load(std::memory_order_acquire);
  if (from < limit && limit <= account_.count()) {
    supply_->put({static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(limit)});
  }
  supply_->take_back(place);
}

void PoolMap::item_failed(std::uint32_t item, Failure made, bool crashed) {
  const auto next = account_.item_failed(item, std::move(made), crashed, !fate_);
  if (!next) return;
  ++insights_.retries;
  const auto delay = order_.part.retry_delay;
  const auto pause = delay != nullptr ? delay(*next) : std::chrono::nanoseconds(0);
  delayed_.emplace(pause.count() > 0 ? os::deadline_after(pause) : Clock::time_point{}, item);
}

/// Those whose pause is over; all of them when nobody is left to wait for.
void PoolMap::take_delayed() {
  while (!delayed_.empty() &&
         (delayed_.begin()->first <= Clock::now() || core_->has_lost_keeper())) {
    const std::uint32_t item = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    supply_->put({item, item + 1});
  }
}

void PoolMap::note_part(std::size_t place, std::string end) {
  const WorkerSlot& worker = memory_->slots()[place];
  WorkerInsight insight;
  insight.worker = static_cast<int>(place);
  insight.pid = worker.pid.load(std::memory_order_relaxed);
  insight.started = parts_[place].submitted - began_;
  insight.ended = Clock::now() - began_;
  insight.working = std::chrono::nanoseconds(worker.working.load(std::memory_order_relaxed));
  insight.waiting = std::chrono::nanoseconds(worker.waiting.load(std::memory_order_relaxed));
  insight.items = worker.items_done();
  insight.end = std::move(end);
  insights_.workers.push_back(std::move(insight));
  add_slowest(insights_, worker);
}

/// What has no outcome of its own in the end gets `fate`.
void PoolMap::give_up(Failure fate) {
  if (fate_) return;
  fate_ = std::move(fate);
  stop_parts();
}

void PoolMap::stop_parts() {
  if (!supply_) return;
  for (WorkerSlot& worker : memory_->slots()) {
    worker.interrupted.fetch_or(kStop, std::memory_order_acq_rel);
  }
  withdraw_parts();
}

bool PoolMap::reclaim_missing() {
  if (supply_->has_items()) return true;
  for (const Span& gap : account_.reclaim()) supply_->put(gap);
  return supply_->has_items();
}

}  // namespace tine::work
