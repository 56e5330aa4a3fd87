// SPDX-License-Identifier: MIT
#pragma once

/// A task of a Pool that has been submitted.
///
///     tine::PoolFuture<double> score = pool.submit(score_document, document);
///     if (!score.wait_for(100ms)) score.cancel();
///     tine::Result<double> value = score.get();
///
/// A future may outlive its pool: then all of its tasks have an outcome. One that is dropped leaves
/// its task to run to its end. Threads: one at a time, except that cancel() is safe beside
/// wait_for(), which is how to wait for what another thread may cancel.
/// After a fork: inert in the child, where get() gives a failure.

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "tine/detail/pool_task.h"
#include "tine/error.h"
#include "tine/shared_array.h"

namespace tine {

template <class R>
class PoolFuture {
 public:
  PoolFuture(PoolFuture&&) noexcept = default;
  PoolFuture& operator=(PoolFuture&&) noexcept = default;

  /// The value, or how the task failed. Once: a second call gives Cause::lost,
  /// with an error that says so.
  /// Blocks: until there is an outcome.
  [[nodiscard]] Result<R> get() {
    auto bytes = finish();
    const detail::TaskHandle task = std::move(task_);
    if (!bytes) return std::unexpected(std::move(bytes.error()));
    if constexpr (std::is_void_v<R>) {
      return {};
    } else {
      auto value = detail::read_value<R>(*bytes);
      if (!value) {
        return std::unexpected(detail::undecodable_value(name_, std::move(value.error())));
      }
      return std::move(*value);
    }
  }
  /// get() where the value is a vector or string of plain elements: they are read where the worker
  /// has put them, as long as anybody has a copy of what this gives; then PoolOptions::warm_memory
  /// says what becomes of the memory. Do not look at them after a fork.
  /// Blocks and fails as get() does, and is instead of it.
  [[nodiscard]] auto get_in_place()
    requires detail::RangeOf<R>::kIsRaw
  {
    using Element = typename detail::RangeOf<R>::Element;
    using Array = Result<SharedArray<Element>>;
    auto bytes = finish();
    auto task = std::make_shared<detail::TaskHandle>(std::move(task_));
    if (!bytes) return Array(std::unexpected(std::move(bytes.error())));
    auto elements = detail::view_range<Element>(*bytes);
    if (!elements) {
      return Array(std::unexpected(detail::undecodable_value(name_, std::move(elements.error()))));
    }
    return Array(SharedArray<Element>(std::move(task), *elements));
  }
  /// Whether get() would not block, after waiting for at most `limit`.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds limit) {
    return !task_ || task_.wait_for(limit);
  }
  [[nodiscard]] bool ready() { return wait_for(std::chrono::nanoseconds(0)); }

  /// Queued: it never runs. Running: its worker is killed (TERM, grace, KILL), with what it has
  /// started. get() gives Cause::cancelled in both cases. False: it had an outcome already.
  bool cancel() { return task_ && task_.cancel(); }

  /// Becomes readable when get() would not block, for an event loop of another library; made when
  /// first asked for. -1: get() has been called, or there are no descriptors left.
  [[nodiscard]] int fd() { return task_ ? task_.fd() : -1; }

  /// For Pool.
  PoolFuture(detail::TaskHandle task, std::string name)
      : task_(std::move(task)), name_(std::move(name)) {}
  explicit PoolFuture(Failure failure) : failure_(std::make_unique<Failure>(std::move(failure))) {}

 private:
  /// What it gives stays as long as task_.
  Result<std::span<const std::byte>> finish() {
    if (failure_) return std::unexpected(std::move(*std::exchange(failure_, nullptr)));
    if (!task_) return std::unexpected(detail::nothing_to_get(name_));
    return task_.finish(name_);
  }

  detail::TaskHandle task_{};
  std::unique_ptr<Failure> failure_{};
  std::string name_{};
};

}  // namespace tine
