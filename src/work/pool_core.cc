// SPDX-License-Identifier: MIT
#include "work/pool_core.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "os/io.h"
#include "os/life_word.h"
#include "os/own_fds.h"
#include "os/own_pid.h"
#include "os/relax.h"
#include "os/system_error.h"
#include "tine/codec.h"
#include "tine/launch.h"
#include "tine/process.h"
#include "work/chunk_records.h"
#include "work/crash_report.h"
#include "work/failure_note.h"
#include "work/modules.h"
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
/// Dropped tasks that are looked at when a slot is needed.
constexpr std::size_t kLooks = 64;
constexpr auto kSpin = 20us;
constexpr auto kAfterKill = 2s;

std::uint16_t narrow(int count) noexcept {
  return static_cast<std::uint16_t>(
      std::clamp<int>(count, 0, std::numeric_limits<std::uint16_t>::max()));
}

Error refused(ErrorKind kind, std::string hint) {
  return {kind, 0, Stage::prepare, "a pool", std::move(hint)};
}

}  // namespace

PoolCore::PoolCore(const PoolOptions& options, std::unique_ptr<PoolMemory> memory)
    : options_(options),
      owner_(os::own_pid()),
      memory_(std::move(memory)),
      table_(memory_->table()) {
  memory_->set_share(0, work::kMostSeats + 1);
}

PoolCore::~PoolCore() = default;

bool PoolCore::is_owner() const noexcept { return owner_ == os::own_pid(); }
bool PoolCore::has_lost_keeper() const noexcept {
  if (os::has_owner(table_.life)) return os::has_died(table_.life);
  return os::has_ended(keeper_.fd());  // before it could say that it lives
}

std::expected<std::shared_ptr<PoolCore>, Error> PoolCore::start(const PoolOptions& options) {
  const std::size_t workers = work::worker_count(options.workers);
  if (workers > work::kMostSeats) {
    return std::unexpected(refused(ErrorKind::invalid_argument, "a pool has at most 512 workers"));
  }
  const bool copies = options.start == StartMethod::fork;
  auto memory = PoolMemory::create(
      work::kMostSeats, copies ? PoolMemory::Reach::copies : PoolMemory::Reach::any_process);
  if (!memory) return std::unexpected(memory.error());
  std::shared_ptr<PoolCore> core(new PoolCore(options, std::move(*memory)));
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
  int pair[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return os::failed(Stage::prepare, errno, "the requests to a keeper");
  }
  requests_ = os::above_stdio(Fd{pair[0]});
  Fd keepers_requests = os::above_stdio(Fd{pair[1]});
  life_ = std::move(life->write);
  work::prepare_crash_reports();
  const work::PoolKeeper::Ends ends{calls_.get(), life->read.get(), keepers_requests.get()};
  const LaunchOptions how{.grace = 0ms, .name = "tine-keeper", .threads = options_.threads};
  auto keeper = options_.start == StartMethod::fork
                    ? launch_body(how,
                                  [&] {
                                    life_.reset();
                                    requests_.reset();
                                    return work::PoolKeeper(*memory_, options_, ends).run();
                                  })
                    : work::start_keeper_elsewhere(options_, *memory_, ends);
  if (!keeper) return std::unexpected(keeper.error());
  keeper_ = std::move(*keeper);
  // From now on: the keeper has its copies.
  for (const Fd* fd : {&calls_, &life_, &requests_}) os::note_own(fd->get());
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
  const std::uint64_t most = memory_->capacity() - work::kMostSeats * 64;
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

/// With the lock, which is given up meanwhile. False: refused.
bool PoolCore::wait_for_room(std::uint32_t queue, WhenFull when_full) {
  while (is_full(queue) && !closed_ && table_.broken.load() == 0 && !has_lost_keeper()) {
    if (when_full == WhenFull::refuse) return false;
    const std::uint32_t room = table_.room.load();
    table_.room_wanted.store(1);
    if (!is_full(queue)) break;
    mutex_.unlock();
    wake_worker();
    os::wait_while_alive(table_.room, room, table_.life, os::deadline_after(1h));
    mutex_.lock();
  }
  return true;
}

PoolCore::Begun PoolCore::begin(const TaskRequest& request, WhenFull when_full) {
  if (!is_owner()) {
    return std::unexpected(not_started(refused(ErrorKind::not_owner, "it is another process's")));
  }
  const auto queue = static_cast<std::uint32_t>(work::kHigh + std::clamp(request.priority, 0, 2));
  std::unique_lock lock(mutex_);
  if (!wait_for_room(queue, when_full)) return std::nullopt;
  if (auto refused = refusal(request.name)) return std::unexpected(std::move(refused));
  if (auto unknown = note_code(request)) return std::unexpected(std::move(unknown));
  const auto slot = take_slot();
  if (!slot) return std::unexpected(std::move(const_cast<std::unique_ptr<Failure>&>(slot.error())));
  TaskSlot& task = memory_->slots()[*slot];
  const auto at = memory_->take_bytes(*slot, request.size, TaskSlot::kNearArguments);
  if (!at) {
    free_.push_back(*slot);
    return std::unexpected(
        not_started(os::failed(Stage::prepare, ENOMEM, "the arguments of a task").error()));
  }
  task.word.store(TaskWord{.state = TaskState::writing}.pack(), std::memory_order_relaxed);
  task.kind = ResultKind::value;
  task.queue = static_cast<std::uint8_t>(queue);
  task.thunk = request.thunk;
  task.arguments = *at;
  task.result = {};
  task.timeout = request.timeout.count();
  task.retries = narrow(request.retries);
  task.crash_retries = options_.crash_retries < 0 ? work::kNoLimit : narrow(options_.crash_retries);
  task.attempts = 0;
  task.crashes = 0;
  task.rules = 0;
  if (request.retries > 0 || options_.memory_retries > 0) {
    task.rules = work::kMayRetry;
    task.again.retry_if = request.retry_if;
    task.again.retry_delay = request.retry_delay;
    task.again.not_before = 0;
    task.again.memory_retries =
        options_.memory_retries < 0 ? work::kNoLimit : narrow(options_.memory_retries);
    task.again.memory_failures = 0;
  }
  ++submitted_;
  return *slot;
}

/// For workers that are no copies: where the code of this task is. Why it is nowhere, if so.
std::unique_ptr<Failure> PoolCore::note_code(const TaskRequest& request) {
  if (options_.start == StartMethod::fork) return nullptr;
  for (const Code code : {reinterpret_cast<Code>(request.thunk), request.function,
                          reinterpret_cast<Code>(request.retry_if),
                          reinterpret_cast<Code>(request.retry_delay)}) {
    if (code == nullptr) continue;
    if (auto added = memory_->add_code(code); !added) return not_started(added.error());
  }
  return nullptr;
}

std::expected<std::uint32_t, std::unique_ptr<Failure>> PoolCore::take_slot() {
  if (free_.empty()) {
    if (const auto slot = collect_dropped(kLooks)) return *slot;
    const std::uint32_t used = table_.slots_used.load(std::memory_order_relaxed);
    if (used == memory_->slots().size()) {
      if (const auto slot = collect_dropped(dropped_.size())) return *slot;
      return std::unexpected(not_started(
          refused(ErrorKind::no_space, std::to_string(used) + " results have not been fetched")));
    }
    if (used == slots_ready_) {
      const auto more = std::min<std::size_t>(kSlotsAtOnce, memory_->slots().size() - used);
      const int lack =
          memory_->slot_bytes().populate(used * sizeof(TaskSlot), more * sizeof(TaskSlot));
      if (lack != 0) {
        return std::unexpected(not_started(os::failed(Stage::prepare, lack, "a task").error()));
      }
      slots_ready_ = used + static_cast<std::uint32_t>(more);
    }
    table_.slots_used.store(used + 1, std::memory_order_release);
    return used;
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

/// Some of the dropped tasks may be at their end; the oldest are looked at first.
std::optional<std::uint32_t> PoolCore::collect_dropped(std::size_t most) noexcept {
  for (std::size_t i = std::min(most, dropped_.size()); i > 0; --i) {
    const std::uint32_t slot = dropped_.front();
    dropped_.pop_front();
    if (memory_->slots()[slot].load().idle()) {
      free_slot(slot);
    } else {
      dropped_.push_back(slot);
    }
  }
  if (free_.empty()) return std::nullopt;
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
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

void PoolCore::submit(std::uint32_t slot) noexcept {
  TaskSlot& task = memory_->slots()[slot];
  task.word.store(TaskWord{.state = TaskState::queued}.pack(), std::memory_order_release);
  {
    std::unique_lock lock(mutex_);
    while (table_.broken.load() == 0 && !memory_->put(task.queue, slot)) {
      wait_for_room(task.queue, WhenFull::wait);
    }
  }
  if (table_.broken.load() != 0) {
    task.kind = ResultKind::broken;
    memory_->drop_queued(task, TaskState::failed);
  }
  wake_worker();
  if (has_lost_keeper()) settle(slot);
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

// ---- Waiting for them ----

/// Only while there is a CPU for each that is awake. Whoever has been woken for it may want ours: a
/// CPU that sleeps takes 50 us to wake up, a switch takes 3.
bool PoolCore::spin(const TaskSlot& task) const noexcept {
  if (rang_.load(std::memory_order_relaxed)) return false;
  const std::size_t alive = table_.alive.load(std::memory_order_relaxed);
  if (alive == 0 || alive - std::min(alive, table_.parked.count()) + 1 > table_.cpus) return false;
  Clock::time_point until{};
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      if (task.load().finished()) return true;
      os::relax();
    }
    const auto now = Clock::now();
    if (until == Clock::time_point{}) until = now + kSpin;
    if (now >= until) return false;
  }
}

bool PoolCore::wait_until(std::uint32_t slot, os::Deadline deadline) {
  if (!is_owner()) return true;
  if (!wait_here(slot, deadline)) return false;
  const auto next = moved_to(slot);
  return !next || next->core->wait_until(next->slot, deadline);
}

bool PoolCore::wait_here(std::uint32_t slot, os::Deadline deadline) noexcept {
  TaskSlot& task = memory_->slots()[slot];
  if (task.load().finished()) return true;
  if (deadline != Clock::time_point{} && spin(task)) return true;
  const auto limit = deadline.value_or(os::deadline_after(std::chrono::nanoseconds::max()));
  for (;;) {
    if (has_lost_keeper()) settle(slot);
    std::uint32_t seen = task.word.load(std::memory_order_acquire);
    if (TaskWord::unpack(seen).finished()) return true;
    if (Clock::now() >= limit) return false;
    const std::uint32_t awaited = seen | TaskWord::kAwaited;
    if (seen != awaited && !task.word.compare_exchange_strong(seen, awaited)) continue;
    constexpr auto kUntilItLives = 50ms;
    const auto until = os::has_owner(table_.life) ? limit : Clock::now() + kUntilItLives;
    os::wait_while_alive(task.word, awaited, table_.life, std::min(limit, until));
  }
}

/// From what the keeper calls them.
void PoolCore::translate(std::vector<std::uint64_t>& frames) const {
  if (options_.start == StartMethod::fork) return;
  const work::Translation translation(table_.keeper_modules);
  for (std::uint64_t& frame : frames) frame = translation.here(frame);
  std::erase(frames, 0);
}

/// Of all tasks, since the initializer has failed.
Failure PoolCore::broken_failure(const std::string& name) const {
  const std::size_t size = std::min<std::size_t>(table_.broken_size, table_.broken_note.size());
  return failure_in(std::span(table_.broken_note).first(size), name);
}

/// What a FailureNote says.
Failure PoolCore::failure_in(std::span<const std::byte> bytes, const std::string& name) const {
  auto note = decode<work::FailureNote>(bytes);
  if (!note) return undecodable_value(name, note.error());
  translate(note->frames);
  return note->to_failure();
}

Failure PoolCore::failure_of(std::uint32_t slot, const std::string& name) const {
  TaskSlot& task = memory_->slots()[slot];
  std::span<const std::byte> bytes = memory_->result(task);
  Failure made;
  switch (task.load().state) {
    case TaskState::failed: break;
    case TaskState::cancelled:
    case TaskState::cancelling: made.cause = Cause::cancelled; return made;
    default:
      made.error = refused(ErrorKind::no_such_process,
                           keepers_in_vain_ == 0
                               ? "its keeper is gone"
                               : "its keeper ended before it began: if it was spawned, does main "
                                 "begin with tine::worker_main()?");
      return made;
  }
  made.cause = Cause::out_of_memory;
  if (task.kind == ResultKind::broken) return broken_failure(name);
  if (task.kind == ResultKind::failure) made = failure_in(bytes, name);
  made.attempts = std::max<int>(1, task.attempts);
  return made;
}

Result<std::span<const std::byte>> PoolCore::outcome(std::uint32_t slot, const std::string& name) {
  Failure made;
  if (!is_owner()) {
    made.error = refused(ErrorKind::not_owner, "the future is another process's");
  } else {
    wait_until(slot, {});
    TaskSlot& task = memory_->slots()[slot];
    if (task.load().state == TaskState::done) {
      return memory_->result(task);
    }
    if (const auto next = moved_to(slot)) return next->core->outcome(next->slot, name);
    made = failure_of(slot, name);
  }
  made.subject = subject(name);
  return std::unexpected(std::move(made));
}

bool PoolCore::cancel(std::uint32_t slot) {
  if (!is_owner()) return false;
  TaskSlot& task = memory_->slots()[slot];
  std::optional<TaskWord> before;
  while (!before) {
    const TaskWord word = task.load();
    const bool waits = word.state == TaskState::queued || word.seat == work::kKeeperSeat;
    if (word.state != TaskState::queued && word.state != TaskState::delayed &&
        word.state != TaskState::running) {
      const auto next = moved_to(slot);
      return next && next->core->cancel(next->slot);
    }
    // The seat stays in the word: the keeper ends the worker that is there.
    before = task.conclude(word.state, waits ? TaskState::cancelled : TaskState::cancelling,
                           word.seat, word.seat);
  }
  if (before->state != TaskState::running) {
    cancelled_queued_.fetch_add(1);
    make_room();
  }
  cancelled_.fetch_add(1);
  if (before->state != TaskState::queued || before->watched) call_keeper();
  return true;
}

/// Who waits for room looks whether there is some.
void PoolCore::make_room() noexcept {
  if (table_.room_wanted.load() == 0) return;
  table_.room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_.room));
}

/// Readable when the task has an outcome, or nobody is left to tell.
int PoolCore::fd(std::uint32_t slot) {
  if (!is_owner()) return -1;
  const auto next = moved_to(slot);
  const std::lock_guard lock(mutex_);
  if (const auto found = watches_.find(slot); found != watches_.end()) {
    return found->second.poll.get();
  }
  if (next) return next->core->fd(next->slot);
  Watch watch{Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}, Fd{::epoll_create1(EPOLL_CLOEXEC)}};
  if (!watch.event || !watch.poll) return -1;
  watch.event = os::above_stdio(std::move(watch.event));
  watch.poll = os::above_stdio(std::move(watch.poll));
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  ::epoll_ctl(watch.poll.get(), EPOLL_CTL_ADD, watch.event.get(), &wanted);
  if (keeper_) ::epoll_ctl(watch.poll.get(), EPOLL_CTL_ADD, keeper_.fd(), &wanted);
  for (const Fd* fd : {&watch.event, &watch.poll}) os::note_own(fd->get());
  TaskSlot& task = memory_->slots()[slot];
  task.word.fetch_or(TaskWord::kWatched);
  // The keeper looks when it has got the request: at an end that came before it as well.
  if (!send_watch(slot, watch.event.get()) || task.load().finished()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(watch.event.get(), &one, sizeof one);
  }
  return watches_.emplace(slot, std::move(watch)).first->second.poll.get();
}

bool PoolCore::send_watch(std::uint32_t slot, int event) const noexcept {
  iovec bytes{&slot, sizeof slot};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &event, sizeof event);
  return ::sendmsg(requests_.get(), &message, MSG_NOSIGNAL) == sizeof slot;
}

void PoolCore::release(std::uint32_t slot) noexcept {
  if (!is_owner()) return;
  const std::lock_guard lock(mutex_);
  if (!watches_.empty()) watches_.erase(slot);
  if (const auto moved = moved_.find(slot); moved != moved_.end()) {
    successor_->release(moved->second);
    moved_.erase(moved);
  }
  if (memory_->slots()[slot].load().idle()) {
    free_slot(slot);
  } else {
    dropped_.push_back(slot);
  }
}

// ---- Maps ----

std::expected<PoolCore::HeldMap, std::unique_ptr<Failure>> PoolCore::hold_map(std::size_t bytes,
                                                                              std::size_t values,
                                                                              std::size_t items) {
  if (!is_owner()) {
    return std::unexpected(not_started(refused(ErrorKind::not_owner, "it is another process's")));
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(dropped_maps_, [&](HeldMap& held) { return free_map(held); });
  if (auto refused = refusal("")) return std::unexpected(std::move(refused));
  const auto slot = take_slot();
  if (!slot) return std::unexpected(std::move(const_cast<std::unique_ptr<Failure>&>(slot.error())));
  TaskSlot& task = memory_->slots()[*slot];
  task.arguments = {};
  task.result = {};
  task.word.store(TaskWord{.state = TaskState::writing}.pack(), std::memory_order_relaxed);
  const auto arguments = memory_->take_bytes(*slot, bytes, 0);
  const auto results = arguments ? memory_->take_bytes(*slot, values, 0) : std::nullopt;
  if (arguments) task.arguments = *arguments;
  if (!results) {
    free_slot(*slot);
    return std::unexpected(
        not_started(os::failed(Stage::prepare, ENOMEM, "the memory of a map").error()));
  }
  task.result = *results;
  table_.map_items.fetch_add(items, std::memory_order_relaxed);
  return HeldMap{.map = *slot, .items = items};
}

std::span<std::byte> PoolCore::map_bytes(const HeldMap& held) const noexcept {
  return memory_->arguments(memory_->slots()[held.map]);
}

void PoolCore::free_records(const HeldMap& held, work::RecordChain& chain) {
  const std::lock_guard lock(mutex_);
  work::free_chunk_records(*memory_, held.map, chain);
}

/// With the lock. False: a worker may still look at the map.
bool PoolCore::free_parts(HeldMap& held) noexcept {
  std::erase_if(held.parts, [&](std::uint32_t slot) {
    if (!memory_->slots()[slot].load().idle()) return false;
    free_slot(slot);
    return true;
  });
  if (!held.parts.empty()) return false;
  TaskSlot& task = memory_->slots()[held.map];
  if (std::exchange(held.has_deaths, false)) {
    memory_->free_all_but(held.map, task.result);
  } else if (task.arguments.area != 0) {
    memory_->free_bytes(held.map, task.arguments);
  }
  task.arguments = {};
  return true;
}

bool PoolCore::free_map(HeldMap& held) noexcept {
  if (!free_parts(held)) return false;
  free_slot(held.map);
  return true;
}

/// Nobody reads its results any more.
void PoolCore::drop_map(const HeldMap& held) noexcept {
  if (!is_owner()) return;
  const std::lock_guard lock(mutex_);
  HeldMap copy = held;
  if (!free_map(copy)) dropped_maps_.push_back(std::move(copy));
}

std::shared_ptr<std::byte> PoolCore::release_map(HeldMap held) {
  {
    const std::lock_guard lock(mutex_);
    table_.map_items.fetch_sub(held.items, std::memory_order_relaxed);
    free_parts(held);
  }
  const auto values = memory_->chunk(memory_->slots()[held.map].result);
  const std::shared_ptr<HeldMap> owner(new HeldMap(std::move(held)),
                                       [core = shared_from_this()](const HeldMap* gone) {
                                         core->drop_map(*gone);
                                         delete gone;
                                       });
  return values.empty() ? nullptr : std::shared_ptr<std::byte>(owner, values.data());
}

bool PoolCore::has_ended(std::uint32_t slot) const noexcept {
  return memory_->slots()[slot].load().finished();
}

void PoolCore::wait_for_any(std::span<const std::uint32_t> slots) noexcept {
  if (spin(memory_->slots()[slots.front()])) return;
  std::vector<os::WatchedWord> words;
  while (words.empty()) {
    if (has_lost_keeper()) fail_rest();
    for (const std::uint32_t slot : slots) {
      TaskSlot& task = memory_->slots()[slot];
      const std::uint32_t before = task.word.fetch_or(TaskWord::kAwaited);
      if (TaskWord::unpack(before).finished()) return;
      words.push_back({&task.word, before | TaskWord::kAwaited});
    }
    os::wait_while_alive(words, table_.life, os::deadline_after(1h));
  }
}

void PoolCore::withdraw(std::uint32_t slot) noexcept {
  if (memory_->slots()[slot].conclude(TaskState::queued, TaskState::cancelled, 0)) {
    cancelled_queued_.fetch_add(1);
  }
}

void PoolCore::release_part(HeldMap& held, std::uint32_t slot) {
  std::erase(held.parts, slot);
  release(slot);
}

void PoolCore::count_items(std::size_t items, std::size_t failed, std::size_t parts,
                           std::size_t failed_parts) {
  const std::lock_guard lock(mutex_);
  items_ += items;
  failed_items_ += failed;
  parts_ += parts;
  failed_parts_ += failed_parts;
}

// ---- All of it ----

std::expected<void, Error> PoolCore::resize(std::size_t workers) {
  if (!is_owner()) {
    return std::unexpected(refused(ErrorKind::not_owner, "it is another process's"));
  }
  if (workers < 1 || workers > work::kMostSeats) {
    return std::unexpected(refused(ErrorKind::invalid_argument, "a pool has 1 to 512 workers"));
  }
  if (const auto next = successor()) return next->resize(workers);
  const std::lock_guard lock(mutex_);
  most_workers_.store(std::max(most_workers_.load(), workers));
  table_.target.store(static_cast<std::uint32_t>(workers));
  call_keeper();
  return {};
}

/// Nobody will give the tasks that are left an outcome.
void PoolCore::fail_rest() noexcept {
  const std::size_t used = table_.slots_used.load(std::memory_order_acquire);
  for (TaskSlot& task : memory_->slots().first(used)) lose(task);
  table_.room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_.room));
}

void PoolCore::shutdown(Drain drain) {
  if (!is_owner()) return;
  const std::lock_guard alone(shutting_down_);
  if (drain == Drain::yes && has_lost_keeper()) settle();
  if (const auto next = successor()) next->shutdown(drain);
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    table_.closing.store(drain == Drain::yes ? Closing::drain : Closing::kill);
  }
  // Who waits for room learns that there will be none.
  table_.room.fetch_add(1);
  os::futex_wake_all(os::futex_word(table_.room));
  call_keeper();
  auto ended = keeper_.wait_for(options_.shutdown_grace);
  if (ended && !*ended) {
    table_.closing.store(Closing::kill);
    call_keeper();
    ended = keeper_.wait_for(kAfterKill);
  }
  const std::lock_guard lock(mutex_);
  settled_ = true;
  bury_keeper_locked();
}

/// Reaps it; nobody has to wait any more.
void PoolCore::bury_keeper_locked() noexcept {
  [[maybe_unused]] const auto gone = keeper_.terminate(0ms);
  table_.life.fetch_or(FUTEX_OWNER_DIED);
  keeper_ = Child{};
  fail_rest();
  calls_.reset();
  life_.reset();
  requests_.reset();
}

PoolStats PoolCore::stats() {
  PoolStats stats;
  if (!is_owner()) return stats;
  if (const auto next = successor()) return next->stats();
  const std::lock_guard lock(mutex_);
  stats.queued = queued();
  for (std::uint32_t i = 0; i < used_seats().size(); ++i) {
    const PoolSeat& seat = used_seats()[i];
    stats.failed += seat.failed.load();
    const std::uint32_t slot = seat.current.load();
    if (seat.pid.load() == 0 || slot >= memory_->slots().size()) continue;
    const TaskWord word = memory_->slots()[slot].load();
    const bool runs = word.state == TaskState::running || word.state == TaskState::ending;
    if (runs && word.seat == i) ++stats.running;
  }
  stats.failed += table_.died.load() + cancelled_.load() + failed_items_;
  stats.failed -= std::min<std::size_t>(stats.failed, failed_parts_);
  const std::uint64_t all = submitted_ + items_ - parts_;
  stats.done = all - std::min<std::size_t>(all, stats.queued + stats.running);
  stats.workers = static_cast<int>(table_.alive.load());
  stats.deaths = table_.deaths.load();
  return stats;
}

std::vector<pid_t> PoolCore::worker_pids() {
  std::vector<pid_t> pids;
  if (!is_owner()) return pids;
  if (const auto next = successor()) return next->worker_pids();
  for (const PoolSeat& seat : used_seats()) {
    if (const pid_t pid = seat.pid.load(); pid != 0) pids.push_back(pid);
  }
  return pids;
}

}  // namespace tine::detail
