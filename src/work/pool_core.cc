// SPDX-License-Identifier: MIT
#include "work/pool_core.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "os/io.h"
#include "os/life_word.h"
#include "os/message.h"
#include "os/own_fds.h"
#include "os/own_pid.h"
#include "os/system_error.h"
#include "tine/launch.h"
#include "tine/process.h"
#include "work/crash_report.h"
#include "work/host_code.h"
#include "work/option_check.h"
#include "work/pool_keeper.h"
#include "work/pool_order.h"
#include "work/worker_count.h"

namespace tine::detail {

using namespace std::chrono_literals;
using work::BytesAt;
using work::Closing;
using work::PoolMemory;
using work::PoolSeat;
using work::ResultKind;
using work::TaskSlot;
using work::TaskState;
using work::TaskWord;
using Clock = std::chrono::steady_clock;

namespace {

/// Slots get their memory so many at a time.
constexpr std::uint32_t kSlotsAtOnce = 4096;
/// Dropped tasks that are looked at with each new one, and when there is no slot for it.
constexpr std::size_t kLooks = 2;
constexpr std::size_t kLooksForOne = 64;

std::uint16_t narrow(int count) noexcept {
  return static_cast<std::uint16_t>(
      std::clamp<int>(count, 0, std::numeric_limits<std::uint16_t>::max()));
}

}  // namespace

PoolCore::PoolCore(const PoolOptions& options, std::unique_ptr<PoolMemory> memory)
    : options_(options),
      owner_(os::own_pid()),
      memory_(std::move(memory)),
      table_(memory_->table()) {
  memory_->set_share(0, work::kMostSeats + 1);
}

/// In a copy of the process that made it the numbers of its descriptors may be those of others.
PoolCore::~PoolCore() {
  if (is_owner()) return;
  for (Fd* const fd : {&calls_, &life_, &requests_, &keeper_end_}) {
    [[maybe_unused]] const int left = fd->release();
  }
  for (auto& [slot, watch] : watches_) {
    for (Fd* const fd : {&watch.event, &watch.poll}) [[maybe_unused]]
      const int left = fd->release();
  }
  memory_->leave_file();
}

Error PoolCore::refused(ErrorKind kind, std::string hint) {
  return {kind, 0, Stage::prepare, "a pool", std::move(hint)};
}

bool PoolCore::is_owner() const noexcept { return owner_ == os::own_pid(); }
bool PoolCore::has_lost_keeper() const noexcept {
  if (os::has_owner(table_.life)) return os::has_died(table_.life);
  return os::has_ended(keeper_end_.get());  // before it could say that it lives
}

std::expected<std::shared_ptr<PoolCore>, Error> PoolCore::start(const PoolOptions& options) {
  if (auto wrong = work::senseless(options, "a pool")) return std::unexpected(std::move(*wrong));
  std::size_t workers = work::worker_count(options.workers);
  if (options.workers == 0) workers = std::min(workers, work::kMostSeats);
  if (workers > work::kMostSeats) {
    return std::unexpected(refused(ErrorKind::invalid_argument, "a pool has at most 512 workers"));
  }
  const bool copies = options.start == StartMethod::fork;
  auto memory = PoolMemory::create(
      work::kMostSeats, copies ? PoolMemory::Reach::copies : PoolMemory::Reach::any_process);
  if (!memory) return std::unexpected(memory.error());
  std::shared_ptr<PoolCore> core(new PoolCore(options, std::move(*memory)));
  core->memory_->set_kept(options.warm_memory);
  core->table_.target.store(static_cast<std::uint32_t>(workers));
  core->table_.cpus = std::max(1u, usable_cpus());
  core->most_workers_.store(workers);
  if (auto started = core->start_keeper(); !started) return std::unexpected(started.error());
  return core;
}

std::expected<void, Error> PoolCore::start_keeper() {
  calls_ = os::above_stdio(Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
  if (!calls_) return os::failed(Stage::prepare, errno, "the calls to a keeper");
  auto life = os::make_pipe();
  if (!life) return std::unexpected(life.error());
  auto sockets = os::make_socket_pair();
  if (!sockets) return std::unexpected(sockets.error());
  requests_ = std::move(sockets->ours);
  life_ = std::move(life->write);
  work::prepare_crash_reports();
  const work::PoolKeeper::Ends ends{calls_.get(), life->read.get(), sockets->theirs.get()};
  const LaunchOptions how{.grace = 0ms, .name = "tine-keeper", .threads = options_.threads};
  auto keeper = options_.start == StartMethod::fork
                    ? launch_body(how,
                                  [&] {
                                    work::forget_host_code();
                                    life_.reset();
                                    requests_.reset();
                                    return work::PoolKeeper(*memory_, options_, ends).run();
                                  })
                    : work::start_keeper_elsewhere(options_, *memory_, ends);
  if (!keeper) return std::unexpected(keeper.error());
  keeper_ = std::move(*keeper);
  keeper_end_ = Fd{::fcntl(keeper_.fd(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
  if (!keeper_end_) return os::failed(Stage::prepare, errno, "a pool");
  // From now on: the keeper has its copies.
  for (const Fd* fd : {&calls_, &life_, &requests_, &keeper_end_}) os::note_own(fd->get());
  return {};
}

// ---- Beginning tasks ----

std::span<PoolSeat> PoolCore::used_seats() const noexcept {
  return memory_->seats().first(most_workers_.load(std::memory_order_relaxed));
}

std::size_t PoolCore::queued() const noexcept {
  std::uint64_t begun = cancelled_queued_.load() + table_.dropped.load();
  for (const PoolSeat& seat : used_seats()) begun += seat.begun.load();
  const std::uint64_t put = submitted_ + table_.returned.load();
  return put > begun ? static_cast<std::size_t>(put - begun) : 0;
}

bool PoolCore::is_full(std::uint32_t queue) noexcept {
  if (options_.max_queued > 0) return queued() >= options_.max_queued;
  const work::TaskQueue& where = table_.queues[queue];
  const std::uint64_t tail = where.tail.load(std::memory_order_relaxed);
  // What workers have taken together and not begun needs its place for longer.
  const std::uint64_t capacity = memory_->capacity(queue);
  const std::uint64_t most =
      capacity - std::min<std::uint64_t>(capacity / 2, work::kMostSeats * 64);
  // Workers write it all the time: an old look at it will do, as long as there is room.
  std::uint64_t& head = heads_[queue];
  if (tail - head < most) return false;
  head = std::min(tail, where.head.load(std::memory_order_relaxed));
  return tail - head >= most;
}

std::string PoolCore::subject(std::string_view name) const {
  return !name.empty() ? std::string(name) : !options_.name.empty() ? options_.name : "a task";
}

std::unique_ptr<Failure> PoolCore::not_started(Error error, std::string_view name) const {
  auto failure = std::make_unique<Failure>();
  failure->cause = Cause::not_started;
  failure->subject = subject(name);
  failure->error = std::move(error);
  return failure;
}

/// Why no task is taken, if so.
std::unique_ptr<Failure> PoolCore::refusal(std::string_view name) const {
  if (closed_) {
    return not_started(refused(ErrorKind::cancelled, "it has been shut down"), name);
  }
  if (table_.broken.load() != 0) {
    auto failure = std::make_unique<Failure>(broken_failure(std::string(name)));
    failure->subject = subject(name);
    return failure;
  }
  if (has_lost_keeper()) {
    return not_started(refused(ErrorKind::no_such_process, "its keeper was killed"), name);
  }
  return nullptr;
}

/// With the lock, which is given up meanwhile. `has_room` is asked again whenever a worker takes a
/// task. False: refused.
template <class HasRoom>
bool PoolCore::wait_until_room(const HasRoom& has_room, WhenFull when_full) {
  while (!has_room()) {
    if (when_full == WhenFull::refuse) return false;
    const std::uint32_t room = table_.room.load();
    table_.room_wanted.store(1);
    if (has_room()) break;
    mutex_.unlock();
    wake_worker();
    os::wait_while_alive(table_.room, room, table_.life, os::deadline_after(1h));
    mutex_.lock();
  }
  return true;
}

bool PoolCore::takes_none() const noexcept {
  return closed_ || table_.broken.load() != 0 || has_lost_keeper();
}

PoolCore::Begun PoolCore::begin(const TaskRequest& request, WhenFull when_full) {
  if (!is_owner()) {
    return std::unexpected(
        not_started(refused(ErrorKind::not_owner, "it is another process's"), request.name));
  }
  const auto queue = static_cast<std::uint32_t>(work::kHigh + std::clamp(request.priority, 0, 2));
  std::unique_lock lock(mutex_);
  const auto has_room = [&] { return takes_none() || !is_full(queue); };
  if (!wait_until_room(has_room, when_full)) return std::nullopt;
  if (auto refused = refusal(request.name)) return std::unexpected(std::move(refused));
  if (auto unknown = note_code(request)) return std::unexpected(std::move(unknown));
  auto slot = take_slot();
  if (!slot) return std::unexpected(std::move(slot.error()));
  TaskSlot& task = memory_->slots()[*slot];
  auto at = memory_->take_bytes(*slot, request.size);
  if (!at && !dropped_.empty()) {
    collect_dropped(dropped_.size());
    at = memory_->take_bytes(*slot, request.size);
  }
  if (!at) {
    free_.push_back(*slot);
    return std::unexpected(
        not_started(os::failed(Stage::prepare, ENOMEM, "the arguments of a task").error()));
  }
  task.word.store(TaskWord{.state = TaskState::writing}.pack(), std::memory_order_relaxed);
  task.kind = ResultKind::value;
  task.queue = static_cast<std::uint8_t>(queue) & 15;
  task.thunk = request.thunk;
  task.arguments = *at;
  task.result = {};
  task.attempts = 0;
  set_rules(task, request);
  ++submitted_;
  if (request.arguments == nullptr) return *slot;
  if (request.size > 0) {
    std::memcpy(memory_->arguments(task).data(), request.arguments, request.size);
  }
  const auto in_use = put_locked(*slot, when_full);
  // An older entry of its slot may have led a worker to it.
  if (!in_use && task.change(TaskState::queued, TaskState::writing, 0)) {
    --submitted_;
    free_slot(*slot);
    return std::nullopt;
  }
  lock.unlock();
  if (in_use) see_to(*slot, *in_use);
  return *slot;
}

/// What most tasks have none of is in lines that are not touched for them.
void PoolCore::set_rules(TaskSlot& task, const TaskRequest& request) const noexcept {
  task.rules = 0;
  if (request.timeout.count() > 0) {
    task.rules |= work::kHasTimeout;
    task.timeout = request.timeout.count();
  }
  if (request.retries <= 0 && options_.memory_retries <= 0) return;
  task.rules |= work::kMayRetry;
  task.retries = narrow(request.retries);
  task.crash_retries = options_.crash_retries < 0 ? work::kNoLimit : narrow(options_.crash_retries);
  task.crashes = 0;
  task.again.retry_if = request.retry_if;
  task.again.retry_delay = request.retry_delay;
  task.again.not_before = 0;
  task.again.memory_retries =
      options_.memory_retries < 0 ? work::kNoLimit : narrow(options_.memory_retries);
  task.again.memory_failures = 0;
}

/// For workers that are no copies: where the code of this task is. Why it is nowhere, if so.
std::unique_ptr<Failure> PoolCore::note_code(const TaskRequest& request) {
  if (options_.start == StartMethod::fork) return nullptr;
  for (const Code code :
       {reinterpret_cast<Code>(request.thunk), request.function,
        reinterpret_cast<Code>(request.retry_if), reinterpret_cast<Code>(request.retry_delay)}) {
    if (code == nullptr) continue;
    if (auto added = memory_->add_code(code); !added) return not_started(added.error());
  }
  return nullptr;
}

std::expected<std::uint32_t, std::unique_ptr<Failure>> PoolCore::take_slot() {
  collect_dropped(free_.empty() ? kLooksForOne : kLooks);
  if (free_.empty() && slots_used_ == memory_->slots().size()) collect_dropped(dropped_.size());
  if (!free_.empty()) {
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  if (slots_used_ == memory_->slots().size()) {
    return std::unexpected(not_started(refused(
        ErrorKind::no_space, std::to_string(slots_used_) + " results have not been fetched")));
  }
  if (slots_used_ == slots_ready_) {
    const auto more = std::min<std::size_t>(kSlotsAtOnce, memory_->slots().size() - slots_used_);
    if (const int lack = memory_->provide_slots(slots_used_, more); lack != 0) {
      return std::unexpected(not_started(os::failed(Stage::prepare, lack, "a task").error()));
    }
    slots_ready_ = slots_used_ + static_cast<std::uint32_t>(more);
    // Who lets go of one has room for it.
    for (std::vector<std::uint32_t>* const slots : {&free_, &dropped_}) {
      if (slots->capacity() < slots_ready_) slots->reserve(2 * std::size_t{slots_ready_});
    }
  }
  table_.slots_used.store(slots_used_ + 1, std::memory_order_release);
  return slots_used_++;
}

/// Some of the dropped tasks may be at their end: so many are looked at, in turn.
void PoolCore::collect_dropped(std::size_t most) noexcept {
  for (std::size_t looks = std::min(most, dropped_.size()); looks > 0; --looks) {
    if (next_look_ >= dropped_.size()) next_look_ = 0;
    std::uint32_t& slot = dropped_[next_look_];
    if (!memory_->slots()[slot].load().idle()) {
      ++next_look_;
      continue;
    }
    free_slot(slot);
    slot = dropped_.back();
    dropped_.pop_back();
  }
}

void PoolCore::free_slot(std::uint32_t slot) noexcept {
  TaskSlot& task = memory_->slots()[slot];
  if (task.arguments.area != 0) memory_->free_bytes(slot, task.arguments);
  if (task.result.area != 0) memory_->free_bytes(slot, task.result);
  task.word.store(0, std::memory_order_release);
  free_.push_back(slot);
}

std::byte* PoolCore::arguments(std::uint32_t slot) const noexcept {
  TaskSlot& task = memory_->slots()[slot];
  return memory_->arguments(task).data();
}

void PoolCore::submit(std::uint32_t slot) noexcept { see_to(slot, put(slot)); }

/// Somebody is there for a task that has been put, one of so many.
void PoolCore::see_to(std::uint32_t slot, std::size_t in_use) noexcept {
  if (is_seen_to(in_use)) {
    rang_.store(false, std::memory_order_relaxed);
  } else {
    wake_worker();
  }
  if (has_lost_keeper()) settle(slot);
}

/// Whether there are as many workers that are awake and look for tasks, or will when they have done
/// what they are at, as there are tasks: then there is one for each. Of all that says so, nothing
/// changes from one task to the next. After the task has been put: who goes to sleep says so first
/// and looks then.
bool PoolCore::is_seen_to(std::size_t tasks) const noexcept {
  std::size_t awake = 0;
  const std::size_t seats = used_seats().size();
  if (tasks > seats) return false;
  for (std::size_t i = 0; i < seats && awake < tasks; ++i) {
    const bool looks = table_.worker_cpu[i].load() != 0;
    if (looks && !table_.parked.contains(i)) ++awake;
  }
  return awake >= tasks;
}

std::size_t PoolCore::put(std::uint32_t slot) noexcept {
  const std::lock_guard lock(mutex_);
  return put_locked(slot, WhenFull::wait).value_or(0);
}

/// Gives how many slots are in use. Nothing: it would have to wait.
std::optional<std::size_t> PoolCore::put_locked(std::uint32_t slot, WhenFull when_full) noexcept {
  TaskSlot& task = memory_->slots()[slot];
  const auto queue = std::min<std::uint32_t>(task.queue, work::kLow);
  task.word.store(TaskWord{.state = TaskState::queued}.pack(), std::memory_order_release);
  const auto put = [&] { return memory_->put(queue, slot) || takes_none(); };
  if (!wait_until_room(put, when_full)) return std::nullopt;
  if (table_.broken.load() != 0) {
    task.kind = ResultKind::broken;
    memory_->drop_queued(task, TaskState::failed);
  }
  return slots_used_ - free_.size();
}

void PoolCore::wake_worker() noexcept {
  const auto waking = memory_->wake_worker();
  rang_.store(waking != PoolMemory::Waking::nothing, std::memory_order_relaxed);
  if (waking != PoolMemory::Waking::call_keeper) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(calls_.get(), &one, sizeof one);
}

void PoolCore::call_keeper() const noexcept {
  if (table_.keeper_called.exchange(1) != 0) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(calls_.get(), &one, sizeof one);
}

}  // namespace tine::detail
