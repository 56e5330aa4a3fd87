// SPDX-License-Identifier: MIT
#include "work/pool_order.h"

#include <unistd.h>

#include <array>
#include <memory>
#include <utility>

#include "os/own_fds.h"
#include "tine/codec.h"
#include "work/crash_report.h"
#include "work/elsewhere.h"
#include "work/host_code.h"
#include "work/memory_limit.h"
#include "work/pool_worker.h"
#include "work/worker_count.h"

namespace tine::work {

namespace {

/// PoolOptions as they travel; functions are addresses in the host.
struct Settings {
  std::chrono::nanoseconds timeout{};
  std::chrono::milliseconds grace{};
  std::uint64_t memory = 0;
  std::uint64_t warm_memory = 0;
  std::size_t max_queued = 0;
  int workers = 0;
  int retries = 0;
  int crash_retries = 0;
  std::size_t recycle_after_tasks = 0;
  std::uint64_t recycle_above_rss = 0;
  std::chrono::nanoseconds recycle_after_age{};
  std::chrono::nanoseconds idle_timeout{};
  std::uint64_t initializer = 0;
  std::chrono::nanoseconds init_timeout{};
  std::string name{};
  bool core_dump = false;
  int start = 0;
};

std::uint64_t address_of(Code code) noexcept { return reinterpret_cast<std::uint64_t>(code); }
Code code(std::uint64_t address) noexcept {
  return reinterpret_cast<Code>(address);  // NOLINT(performance-no-int-to-ptr)
}

Settings settings_of(const PoolOptions& options) {
  return {.timeout = options.timeout,
          .grace = options.grace,
          .memory = options.memory,
          .warm_memory = options.warm_memory,
          .max_queued = options.max_queued,
          .workers = options.workers,
          .retries = options.retries,
          .crash_retries = options.crash_retries,
          .recycle_after_tasks = options.recycle.after_tasks,
          .recycle_above_rss = options.recycle.above_rss,
          .recycle_after_age = options.recycle.after_age,
          .idle_timeout = options.idle_timeout,
          .initializer = address_of(options.initializer),
          .init_timeout = options.init_timeout,
          .name = options.name,
          .core_dump = options.core_dump,
          .start = static_cast<int>(options.start)};
}

/// Requires: all of its code is known here. Throws BadArguments.
PoolOptions options_of(const Settings& settings) {
  PoolOptions options;
  options.timeout = settings.timeout;
  options.grace = settings.grace;
  options.memory = settings.memory;
  options.warm_memory = settings.warm_memory;
  options.max_queued = settings.max_queued;
  options.workers = settings.workers;
  options.retries = settings.retries;
  options.crash_retries = settings.crash_retries;
  options.recycle = {.after_tasks = settings.recycle_after_tasks,
                     .above_rss = settings.recycle_above_rss,
                     .after_age = settings.recycle_after_age};
  options.idle_timeout = settings.idle_timeout;
  options.initializer = detail::code_here(code(settings.initializer));
  options.init_timeout = settings.init_timeout;
  options.name = settings.name;
  options.core_dump = settings.core_dump;
  options.start = static_cast<StartMethod>(settings.start);
  return options;
}

struct WorkerOrder {
  Settings settings{};
  std::size_t place = 0;
};

template <class Body>
std::expected<ChildOrder, Error> order_of(OrderKind kind, const PoolOptions& options,
                                          const Body& body) {
  ChildOrder order{.kind = kind};
  if (auto added = add_code(order, options.initializer); !added) {
    return std::unexpected(added.error());
  }
  auto bytes = encode(body);
  if (!bytes) return std::unexpected(bytes.error());
  order.body = std::move(*bytes);
  return order;
}

/// Tasks speak of code by the host's addresses.
void find_code_in(const PoolMemory& memory) {
  ask_for_code([&memory](Code hosts) { return memory.place_of(hosts); });
}

}  // namespace

std::expected<Child, Error> start_keeper_elsewhere(const PoolOptions& options,
                                                   const PoolMemory& memory,
                                                   const PoolKeeper::Ends& ends) {
  auto order = order_of(OrderKind::pool_keeper, options, settings_of(options));
  if (!order) return std::unexpected(order.error());
  const LaunchOptions how{.grace = std::chrono::milliseconds(0), .name = "tine-keeper"};
  const std::array fds{memory.file(), ends.calls, ends.host, ends.requests};
  return start_elsewhere(options.start, how, std::move(*order), STDERR_FILENO, fds);
}

std::expected<ChildOrder, Error> worker_order(const PoolOptions& options, std::size_t place) {
  return order_of(OrderKind::pool_worker, options, WorkerOrder{settings_of(options), place});
}

int run_keeper_order(std::span<const std::byte> body, std::vector<Fd> fds,
                     const std::optional<Error>& unknown) {
  constexpr std::size_t kFds = 4;
  const auto settings = decode<Settings>(body);
  if (!settings || fds.size() < kFds) return kBadOrder;
  const auto memory = PoolMemory::attach(std::move(fds[0]));
  if (!memory) return kBadOrder;
  find_code_in(**memory);
  (*memory)->table().keeper_modules.fill();
  PoolOptions options;
  if (!unknown) options = options_of(*settings);
  PoolKeeper keeper(**memory, options, {fds[1].get(), fds[2].get(), fds[3].get()});
  if (unknown) keeper.refuse(*unknown);
  return keeper.run();
}

int run_worker_order(std::span<const std::byte> body, std::vector<Fd> fds,
                     const std::optional<Error>& unknown) {
  constexpr std::size_t kFds = 2;
  const auto order = decode<WorkerOrder>(body);
  if (!order || fds.size() < kFds || unknown) return kBadOrder;
  const auto memory = PoolMemory::attach(std::move(fds[0]));
  if (!memory || order->place >= (*memory)->seats().size()) return kBadOrder;
  find_code_in(**memory);
  const PoolOptions options = options_of(order->settings);
  CrashReport& crash = (*memory)->seats()[order->place].crash;
  crash.modules.fill();
  install_crash_handlers(crash, options.core_dump ? CoreDump::yes : CoreDump::no);
  if (options.memory > 0) limit_memory(options.memory);
  enter_worker((*memory)->table().target.load());
  os::note_own(fds[1].get());
  return PoolWorker(**memory, options, order->place, fds[1].get()).run();
}

}  // namespace tine::work
