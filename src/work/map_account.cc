// SPDX-License-Identifier: MIT
#include "work/map_account.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "work/worker_seat.h"

namespace tine::work {

namespace {

std::span<const Run> runs_of(const WorkerSlot& slot) noexcept {
  const std::size_t used = slot.runs_used.load(std::memory_order_acquire);
  return std::span(slot.runs).first(std::min(used, kMostRuns));
}

}  // namespace

MapAccount::MapAccount(const MapOptions& options, detail::MapBody& body, OnDone on_done)
    : options_(options),
      body_(body),
      count_(static_cast<std::uint32_t>(std::min(body.size(), kMostItems))),
      on_done_(std::move(on_done)) {}

// ---- What a worker has left ----

/// The result that a worker has left. What it has of an item with an outcome is not wanted: it was
/// killed before it could say that it had come to the end of it, and another has run it again.
void MapAccount::take_record(std::uint64_t number, std::span<const std::byte> content) {
  if (number >= count_) return;
  const auto item = static_cast<std::uint32_t>(number);
  if (body_.has(item) || failures_.contains(item)) return;
  if (auto taken = body_.take(item, content); !taken) {
    Failure made;
    made.cause = Cause::undecodable;
    made.subject = subject_of(options_);
    made.error = std::move(taken.error());
    failures_.emplace(item, std::move(made));
  }
}

/// An item that was tried again here stands in two runs, of which the failures take the first ones.
void MapAccount::add_runs(std::size_t place, const WorkerSlot& slot) {
  std::map<std::uint64_t, int> failed;
  for (const std::uint32_t item : failed_here_[place]) ++failed[item];
  for (const Run& run : runs_of(slot)) {
    const std::uint64_t end = run.done.load(std::memory_order_acquire);
    std::uint64_t begin = run.begin.load(std::memory_order_relaxed);
    if (begin > end || end > count_) continue;  // no honest worker says that
    for (auto item = failed.lower_bound(begin); item != failed.end() && item->first < end;) {
      add_done(place, begin, item->first);
      begin = item->first + 1;
      item = --item->second == 0 ? failed.erase(item) : std::next(item);
    }
    add_done(place, begin, end);
  }
}

/// An item whose record is not there, whatever its worker says, is not done.
void MapAccount::add_done(std::size_t place, std::uint64_t begin, std::uint64_t end) {
  if (!body_.has_records()) {
    done_.add({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
    if (on_done_) on_done_(place, begin, end);
    return;
  }
  for (auto item = static_cast<std::uint32_t>(begin); item < end; ++item) {
    if (body_.has(item)) continue;
    done_.add({static_cast<std::uint32_t>(begin), item});
    begin = item + std::uint64_t{1};
  }
  done_.add({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
}

bool MapAccount::has_told_of(std::size_t place, WorkerSlot& slot, std::uint32_t item) const {
  const auto told = std::ranges::count(failed_here_[place], item);
  const auto over = std::ranges::count_if(runs_of(slot), [&](const Run& run) {
    return run.begin.load(std::memory_order_relaxed) <= item &&
           item < run.done.load(std::memory_order_acquire);
  });
  return slot.current_item(count_) == item ? told > over : over > 0 && told >= over;
}

// ---- Failures ----

std::optional<int> MapAccount::item_failed(std::uint32_t item, Failure made, bool crashed,
                                           bool may_retry) {
  if (options_.retries > 0) {
    Attempts& attempts = attempts_[item];
    ++attempts.all;
    if (crashed) ++attempts.crashes;
    made.attempts = attempts.all;
    if (may_retry && this->may_retry(made, attempts)) return attempts.all + 1;
  }
  failures_.emplace(item, std::move(made));
  return std::nullopt;
}

bool MapAccount::may_retry(const Failure& made, const Attempts& attempts) const {
  if (made.cause == Cause::cancelled || attempts.all > options_.retries) return false;
  if (options_.crash_retries >= 0 && attempts.crashes > options_.crash_retries) return false;
  return !options_.retry_if || options_.retry_if(made);
}

// ---- The end ----

std::vector<Span> MapAccount::missing() const {
  std::vector<Span> all;
  const auto add = [&](std::uint32_t begin, std::uint32_t end) {
    if (begin < end) all.push_back({begin, end});
  };
  for (const Span& gap : done_.missing(count_)) {
    std::uint32_t begin = gap.begin;
    for (auto failed = failures_.lower_bound(gap.begin);
         failed != failures_.end() && failed->first < gap.end; ++failed) {
      add(begin, failed->first);
      begin = failed->first + 1;
    }
    add(begin, gap.end);
  }
  return all;
}

std::vector<Span> MapAccount::reclaim() {
  constexpr int kMostReclaims = 3;
  return ++reclaims_ > kMostReclaims ? std::vector<Span>() : missing();
}

void MapAccount::check_values(const std::byte* values) {
  for (std::uint32_t item = 0; item < count_; ++item) {
    if (!done_.contains(item) || failures_.contains(item)) continue;
    if (auto wrong = body_.check(item, values)) {
      Failure made;
      made.cause = Cause::undecodable;
      made.subject = subject_of(options_);
      made.error = std::move(*wrong);
      failures_.emplace(item, std::move(made));
    }
  }
}

MapFailures MapAccount::all_failures(const Failure& fate, const std::byte* values) {
  MapFailures all;
  if (body_.size() > kMostItems) {
    all.add(0, body_.size(), std::make_shared<const Failure>(fate));
    return all;
  }
  if (body_.may_be_invalid() && values != nullptr) check_values(values);
  std::shared_ptr<const Failure> shared;
  for (const Span& gap : missing()) {
    if (!shared) shared = std::make_shared<const Failure>(fate);
    all.add(gap.begin, gap.end, shared);
  }
  for (auto& [item, failure] : failures_) {
    all.add(item, std::uint64_t{item} + 1, std::make_shared<const Failure>(std::move(failure)));
  }
  failures_.clear();
  return all;
}

void add_slowest(MapInsights& insights, const WorkerSlot& slot) {
  for (const SlowEntry& slow : slot.slowest) {
    const auto elapsed = slow.elapsed.load(std::memory_order_relaxed);
    if (elapsed > 0) {
      insights.slowest.push_back(
          {slow.item.load(std::memory_order_relaxed), std::chrono::nanoseconds(elapsed)});
    }
  }
  std::ranges::sort(insights.slowest, std::ranges::greater{}, &MapInsights::SlowItem::elapsed);
  if (insights.slowest.size() > kSlowEntries) insights.slowest.resize(kSlowEntries);
}

}  // namespace tine::work
