// SPDX-License-Identifier: MIT
#pragma once

/// What a map gives: one result per input, in the order of the inputs, always.
///
///     auto sizes = tine::map(files, measure);
///     for (const auto& [file, size] : tine::zip(files, sizes)) {
///       if (size) total += *size;
///       else std::cerr << file << ": " << size.error().to_string() << '\n';
///     }
///     std::vector<std::size_t> all = std::move(sizes).values().value();   // all, or none
///
/// The values stand in one array, the failures in a sparse table beside it, so that 10^7 results of
/// 8 bytes are 80 MB. Plain values are where the workers have put them, in shared memory.
/// Owner: MapResults owns both; an ItemResult looks into it and must not outlive it.

#include <sys/types.h>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/detail/codec_payload.h"
#include "tine/detail/indexed_iterator.h"
#include "tine/error.h"

namespace tine {

/// Which items failed, and how. Items that share a fate (not run because the map was stopped) share
/// one Failure.
class MapFailures {
 public:
  struct Entry {
    std::size_t begin;  ///< items [begin, end)
    std::size_t end;
    std::shared_ptr<const Failure> failure;
  };

  /// Requires: none of these items has failed already.
  void add(std::size_t begin, std::size_t end, std::shared_ptr<const Failure> failure) {
    items_ += end - begin;
    entries_.emplace(begin, Entry{begin, end, std::move(failure)});
  }
  /// How `item` failed; nullptr: it did not.
  [[nodiscard]] const Failure* find(std::size_t item) const noexcept {
    auto after = entries_.upper_bound(item);
    if (after == entries_.begin()) return nullptr;
    const Entry& entry = std::prev(after)->second;
    return item < entry.end ? entry.failure.get() : nullptr;
  }
  /// How many items have failed.
  [[nodiscard]] std::size_t items() const noexcept { return items_; }
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  /// That of the first item, which it names. Requires: !empty().
  [[nodiscard]] Failure first() const {
    const auto& [item, entry] = *entries_.begin();
    Failure failure = *entry.failure;
    failure.item = item;
    return failure;
  }
  /// By their first item.
  [[nodiscard]] const std::map<std::size_t, Entry>& entries() const noexcept { return entries_; }

 private:
  std::map<std::size_t, Entry> entries_;
  std::size_t items_ = 0;
};

/// One worker process of a map, as it went. Times count from the start of the map.
struct WorkerInsight {
  int worker = 0;  ///< its place, 0 to workers - 1; one that replaces another takes over its place
  pid_t pid = 0;
  std::chrono::nanoseconds started{};  ///< the fork
  std::chrono::nanoseconds ended{};
  std::chrono::nanoseconds working{};  ///< within items
  std::chrono::nanoseconds waiting{};  ///< for others to hand over items
  std::size_t items = 0;               ///< that it finished
  std::string end{};                   ///< "no more items", "killed by signal 9 (SIGKILL)", ...
  Usage usage{};
};

/// A map, as it went.
struct MapInsights {
  struct SlowItem {
    std::size_t item;
    std::chrono::nanoseconds elapsed;
  };
  std::chrono::nanoseconds wall{};
  std::chrono::nanoseconds forking{};  ///< of the wall time, spent in making workers
  std::vector<WorkerInsight> workers{};
  std::vector<SlowItem> slowest{};  ///< up to eight, of those that were timed one by one
  std::size_t retries = 0;
  std::size_t deaths = 0;  ///< of workers that did not end in order, timeouts among them

  /// As a table that a person can read.
  [[nodiscard]] std::string to_string() const;
};

/// How one item went: a look into MapResults, with the members of a Result<R>.
template <class R>
class ItemResult {
 public:
  ItemResult(const R* value, const Failure* failure) noexcept : value_(value), failure_(failure) {}
  [[nodiscard]] bool has_value() const noexcept { return failure_ == nullptr; }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
  [[nodiscard]] const R& operator*() const noexcept { return *value_; }
  [[nodiscard]] const R* operator->() const noexcept { return value_; }
  /// Requires: has_value(), or std::bad_expected_access is thrown as by a Result.
  [[nodiscard]] const R& value() const {
    if (failure_ != nullptr) throw std::bad_expected_access<Failure>(*failure_);
    return *value_;
  }
  [[nodiscard]] R value_or(R otherwise) const {
    return has_value() ? *value_ : std::move(otherwise);
  }
  /// Requires: !has_value().
  [[nodiscard]] const Failure& error() const noexcept { return *failure_; }
  operator Result<R>() const {  // NOLINT: a copy of what it looks at
    if (failure_ != nullptr) return std::unexpected(*failure_);
    return *value_;
  }

 private:
  const R* value_;
  const Failure* failure_;
};

template <>
class ItemResult<void> {
 public:
  ItemResult(const void*, const Failure* failure) noexcept : failure_(failure) {}
  [[nodiscard]] bool has_value() const noexcept { return failure_ == nullptr; }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (failure_ != nullptr) throw std::bad_expected_access<Failure>(*failure_);
  }
  [[nodiscard]] const Failure& error() const noexcept { return *failure_; }
  operator Result<void>() const {  // NOLINT: a copy of what it looks at
    if (failure_ != nullptr) return std::unexpected(*failure_);
    return {};
  }

 private:
  const Failure* failure_;
};

namespace detail {

/// The values of a map whose items come as bytes, one after the other and in any order.
template <class R>
class Column {
 public:
  explicit Column(std::size_t size) : values_(std::allocator<R>{}.allocate(size)), made_(size) {
    prefer_large_pages(values_, size * sizeof(R));
  }
  Column(const Column&) = delete;
  Column& operator=(const Column&) = delete;
  ~Column() {
    for (std::size_t i = 0; i < made_.size(); ++i) {
      if (made_[i]) std::destroy_at(values_ + i);
    }
    std::allocator<R>{}.deallocate(values_, made_.size());
  }
  [[nodiscard]] bool has(std::size_t i) const { return made_[i]; }
  void put(std::size_t i, R&& value) {
    std::construct_at(values_ + i, std::move(value));
    made_[i] = true;
  }
  [[nodiscard]] R* data() const noexcept { return values_; }

 private:
  R* values_;
  std::vector<bool> made_;
};

}  // namespace detail

template <class R>
class MapResults {
  /// What operator[] looks at; void has no values.
  using Stored = std::conditional_t<std::is_void_v<R>, char, R>;

 public:
  class iterator;
  using value_type = ItemResult<R>;
  using const_iterator = iterator;

  MapResults() noexcept = default;
  /// `owner` keeps `values`, an array of `size`, of which those that failed are not to be read.
  MapResults(std::size_t size, std::shared_ptr<const void> owner, Stored* values,
             MapFailures failures, MapInsights insights)
      : size_(size),
        owner_(std::move(owner)),
        values_(values),
        failures_(std::move(failures)),
        insights_(std::move(insights)) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] ItemResult<R> operator[](std::size_t item) const noexcept {
    const Failure* const failure = failures_.empty() ? nullptr : failures_.find(item);
    if constexpr (std::is_void_v<R>) {
      return {nullptr, failure};
    } else {
      return {values_ + item, failure};
    }
  }
  [[nodiscard]] iterator begin() const noexcept { return at(0); }
  [[nodiscard]] iterator end() const noexcept { return at(size_); }

  [[nodiscard]] bool all_succeeded() const noexcept { return failures_.empty(); }
  [[nodiscard]] const MapFailures& failures() const noexcept { return failures_; }
  [[nodiscard]] const MapInsights& insights() const noexcept { return insights_; }

  /// All values, or the failure of the first item that has none.
  [[nodiscard]] auto values() const&
    requires(!std::is_void_v<R>)
  {
    return all_values(values_);
  }
  [[nodiscard]] auto values() &&
      requires(!std::is_void_v<R>) { return all_values(std::make_move_iterator(values_)); }
      /// `otherwise` for each item that failed.
      [[nodiscard]] auto values_or(const Stored& otherwise) const
        requires(!std::is_void_v<R>)
  {
    std::vector<R> all;
    all.reserve(size_);
    for (std::size_t i = 0; i < size_; ++i) {
      all.push_back((*this)[i].has_value() ? values_[i] : otherwise);
    }
    return all;
  }

 private:
  [[nodiscard]] iterator at(std::size_t item) const noexcept {
    return {values_, failures_.empty() ? nullptr : &failures_, item};
  }
  template <class Iterator>
    requires(!std::is_void_v<R>)
  auto all_values(Iterator first) const -> Result<std::vector<std::iter_value_t<Iterator>>> {
    if (!failures_.empty()) {
      return std::unexpected(failures_.first());
    }
    return std::vector<R>(first, first + static_cast<std::ptrdiff_t>(size_));
  }

  std::size_t size_ = 0;
  std::shared_ptr<const void> owner_;
  Stored* values_ = nullptr;
  MapFailures failures_;
  MapInsights insights_;
};

template <class R>
class MapResults<R>::iterator : public detail::IndexedIterator<iterator, ItemResult<R>> {
 public:
  iterator() noexcept = default;
  /// `failures`: nullptr where there are none, so that a walk is one over an array then.
  iterator(const Stored* values, const MapFailures* failures, std::size_t at) noexcept
      : detail::IndexedIterator<iterator, ItemResult<R>>(at),
        values_(values),
        failures_(failures) {}
  [[nodiscard]] ItemResult<R> value_at(std::size_t item) const noexcept {
    const Failure* const failure = failures_ == nullptr ? nullptr : failures_->find(item);
    if constexpr (std::is_void_v<R>) {
      return {nullptr, failure};
    } else {
      return {values_ + item, failure};
    }
  }

 private:
  const Stored* values_ = nullptr;
  const MapFailures* failures_ = nullptr;
};

}  // namespace tine
