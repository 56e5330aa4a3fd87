// SPDX-License-Identifier: MIT
#pragma once

/// Workers that stay: many small tasks, each without the cost of a fork.
///
///     tine::Pool pool{{.workers = 8, .recycle = {.after_tasks = 1000}}};
///     tine::PoolFuture<double> score = pool.submit(score_document, document, model_id);
///     if (auto value = score.get()) use(*value); else log(value.error().to_string());
///
/// A task is a function without captures and its arguments. The workers are copies of this process
/// as it was when the pool was made, so what a task needs of later memory has to be an argument.
/// Arguments and values travel as codec.h says, plain ones as their bytes, of any size. Globals
/// that `initializer` sets are each worker's own state.
///
/// A task that throws, crashes, exits, hangs beyond its timeout or runs out of memory costs that
/// task; a worker that dies is replaced, and nothing breaks the pool. A worker that dies while it
/// has no task costs nothing. When this process dies or becomes another program, so do the workers
/// and what they have started.
///
/// The constructor forks one keeper, without threads, which makes, watches and replaces the
/// workers: threads that this process starts later do not matter. It holds the descriptors that
/// were open then. Should the keeper be killed, tasks that run are `lost`; if there is only one
/// thread by then, the next submit, wait or shutdown makes a new one, which goes on with the rest.
///
/// Threads: submit, cancel and all else may be used from any; they share one short lock. After a
/// fork: a pool is inert in the child, where submits fail and the destructor does nothing.

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/detail/pool_map.h"
#include "tine/detail/pool_task.h"
#include "tine/error.h"
#include "tine/launch.h"
#include "tine/map.h"
#include "tine/map_results.h"
#include "tine/plain_function.h"
#include "tine/pool_future.h"
#include "tine/start_method.h"

namespace tine {

/// When a worker is replaced by a fresh one, between two tasks.
struct PoolRecycle {
  std::size_t after_tasks = 0;            ///< 0: never
  std::uint64_t above_rss = 0;            ///< bytes of memory of its own; 0: never
  std::chrono::nanoseconds after_age{0};  ///< 0: never; an idle one just ends
};

struct PoolOptions {
  std::chrono::nanoseconds timeout{0};    ///< of one attempt at a task; then TERM, grace, KILL
  std::chrono::milliseconds grace{2000};  ///< between TERM and KILL
  std::uint64_t memory = 0;  ///< bytes that a worker may add to what it inherits; 0: no limit
  int workers = 0;           ///< at most; 0: as many as there are usable CPUs
  int retries = 0;           ///< further attempts at a task that failed
  int crash_retries = -1;    ///< of these at most so many after a crash; -1: all of them
  /// Further attempts at a task that ran out of memory, beside `retries`; -1: among these, as they
  /// always are in map().
  int memory_retries = -1;
  /// Whether a failure is worth another attempt, and the pause before attempt 2, 3, ... Called in a
  /// worker, perhaps another one than the task's: as with tasks, captures do not compile. One that
  /// throws or crashes ends the attempts. Those of map() are called where map() was.
  PlainFunction<bool(const Failure&)> retry_if{};
  PlainFunction<std::chrono::nanoseconds(int attempt)> retry_delay{};
  PoolRecycle recycle{};
  std::chrono::nanoseconds idle_timeout{0};  ///< an idle worker ends after so long; 0: never
  /// Tasks that wait for a worker, at most: then submit() blocks. 0: about a million.
  std::size_t max_queued = 0;
  /// Each of the arguments and results that has up to so many bytes leaves its memory to later
  /// ones, which are then several times as fast, and keeps it until the pool goes; that of larger
  /// ones is given back.
  std::uint64_t warm_memory = std::uint64_t{64} << 20;
  /// How long the destructor and shutdown() let submitted tasks go on.
  std::chrono::milliseconds shutdown_grace{5000};
  /// Runs in each worker before its first task. One that fails breaks the pool: all tasks fail.
  PlainFunction<void()> initializer{};
  std::chrono::nanoseconds init_timeout{0};  ///< of the initializer; then it has failed. 0: none
  std::string name{};  ///< for ps and in messages, at most 15 characters for ps
  ThreadPolicy threads = ThreadPolicy::refuse;  ///< when the pool is made
  bool core_dump = false;                       ///< whether a crash may leave a core file
  /// How the workers come to be: see start_method.h.
  StartMethod start = StartMethod::fork;
};

enum class Priority : unsigned char { high, normal, low };

struct TaskOptions {
  std::chrono::nanoseconds timeout{0};                                 ///< 0: the pool's
  int retries = -1;                                                    ///< -1: the pool's
  PlainFunction<bool(const Failure&)> retry_if{};                      ///< none: the pool's
  PlainFunction<std::chrono::nanoseconds(int attempt)> retry_delay{};  ///< none: the pool's
  Priority priority = Priority::normal;
  std::string name{};  ///< in messages
};

/// What becomes of tasks that wait when a pool is shut down.
enum class Drain : unsigned char { no, yes };

struct PoolStats {
  std::size_t queued = 0;   ///< waiting for a worker
  std::size_t running = 0;  ///< taken by one
  std::size_t done = 0;     ///< with an outcome, failed and cancelled ones among them
  std::size_t failed = 0;
  int workers = 0;         ///< alive
  std::size_t deaths = 0;  ///< of workers that ended by themselves, not for a timeout or cancel()
};

namespace detail {

enum class WhenFull : unsigned char { wait, refuse };

/// The pool's answer to arguments that cannot travel.
std::unique_ptr<Failure> unencodable_arguments(const std::string& name, const Error& error);

template <class F>
concept TaskFunction = !std::is_same_v<std::remove_cvref_t<F>, TaskOptions>;

}  // namespace detail

class Pool {
 public:
  /// A pool that cannot be made answers every submit with `not_started`.
  explicit Pool(PoolOptions options = {});
  /// Errors: threads_running, too_many_processes, out_of_memory, too_many_files, guardian;
  ///         invalid_argument: more than 512 workers; no_worker_entry, fork_server_lost, not_found:
  ///         see start_method.h.
  [[nodiscard]] static std::expected<Pool, Error> start(PoolOptions options = {});
  Pool(Pool&&) noexcept;
  Pool& operator=(Pool&&) noexcept;
  /// Lets submitted tasks finish for at most `shutdown_grace`, then kills.
  ~Pool();

  /// `fn(args...)` in a worker. An expected<T, E> that fn returns is a value like any other.
  ///
  /// Failures: threw, exited, signaled, timed_out, out_of_memory, cancelled, undecodable, lost; and
  ///           not_started: the pool could not be made, or has been shut down.
  /// Blocks: while max_queued tasks wait.   Threads: safe.   Example: examples/guide_pool.cc
  template <class F, class... Args>
    requires detail::TaskFunction<F>
  [[nodiscard]] auto submit(const TaskOptions& options, F&& fn, Args&&... args) {
    return *submit_how(detail::WhenFull::wait, options, std::forward<F>(fn),
                       std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires detail::TaskFunction<F>
  [[nodiscard]] auto submit(F&& fn, Args&&... args) {
    return *submit_how(detail::WhenFull::wait, kDefaults, std::forward<F>(fn),
                       std::forward<Args>(args)...);
  }
  /// The same, but nothing where submit() would block.
  template <class F, class... Args>
    requires detail::TaskFunction<F>
  [[nodiscard]] auto try_submit(const TaskOptions& options, F&& fn, Args&&... args) {
    return submit_how(detail::WhenFull::refuse, options, std::forward<F>(fn),
                      std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires detail::TaskFunction<F>
  [[nodiscard]] auto try_submit(F&& fn, Args&&... args) {
    return submit_how(detail::WhenFull::refuse, kDefaults, std::forward<F>(fn),
                      std::forward<Args>(args)...);
  }

  /// `fn(item)` for each of `inputs`: one result per input, in their order. Items travel and are
  /// run many at a time, but stand for themselves as tasks do: one that fails costs itself alone,
  /// and has a timeout and retries of its own. In stats(), a map that goes on is a task for each
  /// worker.
  ///
  /// Plain results are in the memory of the pool, which they keep; do not look at them after a
  /// fork. Failures: those of submit().   Blocks: until all have an outcome.   Threads: safe.
  template <std::ranges::input_range Range, class F>
  [[nodiscard]] auto map(Range&& inputs, F&& fn, const TaskOptions& options = {}) {
    using Function = std::decay_t<F>;
    using Plain = std::remove_reference_t<Range>;
    using Item = detail::Travelling<std::ranges::range_reference_t<Plain>>;
    static_assert(std::is_invocable_v<Function&, Item>,
                  "tine::Pool: the function cannot be called with an element of the inputs, which "
                  "it gets as a copy of its own (text as std::string)");
    using R = std::decay_t<std::invoke_result_t<Function&, Item>>;
    if constexpr (detail::require_captureless<Function>() && detail::require_travels<Item>() &&
                  require_value<R>()) {
      detail::Inputs<Plain> items(inputs);
      detail::MapInputsOf<Item, Plain> bytes(items);
      detail::SharedItems<Item> none({}, items.size());
      detail::Inputs<detail::SharedItems<Item>> shape(none);
      Function function = fn;
      detail::PoolMapBody<R, Item, Function> body(shape, function);
      detail::MapOrder order{request(options), {}, options.name};
      order.part.thunk = &detail::run_map_part<Function, R, Item>;
      if constexpr (detail::FunctionPointer<Function>) {
        order.function = std::as_bytes(std::span(&function, 1));
        order.part.function = reinterpret_cast<detail::Code>(function);
      }
      detail::MapOutcome outcome = run_map(order, bytes, body);
      auto [owner, values] = body.results(outcome.values);
      return MapResults<R>(items.size(), std::move(owner), values, std::move(outcome.failures),
                           std::move(outcome.insights));
    } else {
      return MapResults<R>();
    }
  }

  /// At most so many workers from now on. Those that are too many end after their task.
  /// Errors: invalid_argument: less than 1, or more than 512; not_owner.
  std::expected<void, Error> resize(int workers);

  /// No task is taken any more; those that were run to their end (Drain::no: those that run are
  /// killed, the others never run), for at most `shutdown_grace`, after which the rest is killed.
  /// Blocks: until all workers have ended. A second call does nothing.
  void shutdown(Drain drain = Drain::yes);

  [[nodiscard]] PoolStats stats() const;
  /// Of the workers that are alive.
  [[nodiscard]] std::vector<pid_t> worker_pids() const;

 private:
  static const TaskOptions kDefaults;

  /// A new keeper, when the last one has been killed.
  std::shared_ptr<detail::PoolCore> core();
  [[nodiscard]] std::shared_ptr<detail::PoolCore> present_core() const;
  [[nodiscard]] std::unique_ptr<Failure> not_started(const std::string& name) const;
  [[nodiscard]] detail::TaskRequest request(const TaskOptions& options) const noexcept;
  /// A place for a task; nothing where it would have to wait for one.
  std::expected<std::optional<detail::TaskHandle>, std::unique_ptr<Failure>> begin(
      const detail::TaskRequest& request, detail::WhenFull when_full);

  detail::MapOutcome run_map(const detail::MapOrder& order, detail::MapInputs& inputs,
                             detail::MapBody& body);

  template <class F, class... Args>
  auto submit_how(detail::WhenFull when_full, const TaskOptions& options, F&& fn, Args&&... args) {
    using Function = std::decay_t<F>;
    static_assert(
        std::is_invocable_v<Function&, detail::Travelling<Args>...>,
        "tine::Pool: the function cannot be called with these arguments, which it gets as "
        "copies of their own (text as std::string)");
    using R = std::decay_t<std::invoke_result_t<Function&, detail::Travelling<Args>...>>;
    constexpr bool kFine = detail::require_captureless<Function>() &&
                           (detail::require_travels<detail::Travelling<Args>>() && ...) &&
                           require_value<R>();
    if constexpr (kFine) {
      return submit_bytes<R, Function, detail::Travelling<Args>...>(
          when_full, options, fn, static_cast<const detail::Travelling<Args>&>(args)...);
    } else {
      return std::optional(PoolFuture<R>(Failure{}));
    }
  }

  template <class R>
  static consteval bool require_value() {
    if constexpr (std::is_void_v<R>) {
      return true;
    } else {
      return detail::require_travels<R>();
    }
  }

  template <class R, class F, class... Ts>
  std::optional<PoolFuture<R>> submit_bytes(detail::WhenFull when_full, const TaskOptions& options,
                                            const F& fn, const Ts&... args) {
    return std::apply(
        [&](const auto&... pieces) -> std::optional<PoolFuture<R>> {
          for (const Error* error : {static_cast<const Error*>(nullptr), pieces.error()...}) {
            if (error == nullptr) continue;
            return PoolFuture<R>(std::move(*detail::unencodable_arguments(options.name, *error)));
          }
          detail::TaskRequest wanted = request(options);
          wanted.thunk = &detail::run_task<F, R, Ts...>;
          if constexpr (detail::FunctionPointer<F>) {
            wanted.function = reinterpret_cast<detail::Code>(fn);
          }
          wanted.size = (pieces.size() + ... + detail::function_size<F>);
          const auto write = [&](std::byte* to) {
            detail::write_function(fn, to);
            (pieces.write(to), ...);
          };
          std::array<std::byte, detail::kSmallArguments> small;
          if (wanted.size <= small.size()) {
            write(small.data());
            wanted.arguments = small.data();
          }
          auto task = begin(wanted, when_full);
          if (!task) return PoolFuture<R>(std::move(*task.error()));
          if (!*task) return std::nullopt;
          if (wanted.arguments == nullptr) {
            write((*task)->arguments());
            (*task)->submit();
          }
          return PoolFuture<R>(std::move(**task), options.name);
        },
        std::tuple<detail::ArgumentBytes<Ts>...>(detail::ArgumentBytes<Ts>(args)...));
  }

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tine
